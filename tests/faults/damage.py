"""Ways to damage files: bytes, fields of JSON, members of folders. Each returns what it did, in words."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from shvit_mobile.contracts.artifact import get_goldens_path, get_manifest_path
from shvit_mobile.contracts.document import CHECKSUM_FIELD, compute_content_sha256
from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes
from shvit_mobile.contracts.goldens import GOLDENS_NAME

Damage = Callable[[Path, Random], str]
_HOSTILE_TEXTS = ("", "../../x", "other", "NaN", "/etc/passwd", "\ud800", "é" * 300, "fp32", "0" * 64)
_STRUCTURE_BYTES = 8192
_HOSTILE_NUMBERS = (0, -1, 1, 2, 7, 100, 1e30, 1e-30, 2**40, 0.5)


def write_anew(path: Path, data: bytes) -> None:
    """Replace a file; other links to the old one keep its bytes."""
    path.unlink()
    path.write_bytes(data)


def damage_bytes(path: Path, random: Random) -> str:
    """Damage a file as disks, networks and half-finished copies do."""
    data = path.read_bytes()
    words, changed = random.choice(_BYTE_DAMAGES)(data, random)
    if changed == data:
        words, changed = _flip_bits(data, random) if data else ("one byte in an empty file", b"\0")
    write_anew(path, changed)
    return words


def _flip_bits(data: bytes, random: Random) -> tuple[str, bytes]:
    changed = bytearray(data)
    places = [random.randrange(len(data)) for _ in range(random.choice((1, 1, 2, 8)))]
    for place in places:
        changed[place] ^= 1 << random.randrange(8)
    return f"bits flipped at {places}", bytes(changed)


def _truncate(data: bytes, random: Random) -> tuple[str, bytes]:
    length = random.choice((0, 1, len(data) - 1, random.randrange(len(data) + 1)))
    return f"cut after {length} of {len(data)} bytes", data[: max(0, length)]


def _pick_block(data: bytes, random: Random) -> tuple[int, int]:
    size = min(len(data), random.choice((4, 64, 512, 4096)))
    return random.randrange(len(data) - size + 1), size


def _zero_block(data: bytes, random: Random) -> tuple[str, bytes]:
    start, size = _pick_block(data, random)
    return f"{size} zeros at {start}", data[:start] + bytes(size) + data[start + size :]


def _duplicate_block(data: bytes, random: Random) -> tuple[str, bytes]:
    start, size = _pick_block(data, random)
    return f"{size} bytes at {start} twice", data[: start + size] + data[start:]


def _remove_block(data: bytes, random: Random) -> tuple[str, bytes]:
    start, size = _pick_block(data, random)
    return f"{size} bytes at {start} removed", data[:start] + data[start + size :]


def _copy_block(data: bytes, random: Random) -> tuple[str, bytes]:
    start, size = _pick_block(data, random)
    target = random.randrange(len(data) - size + 1)
    return f"{size} bytes of {start} at {target}", data[:target] + data[start : start + size] + data[target + size :]


def _append(data: bytes, random: Random) -> tuple[str, bytes]:
    return "bytes at the end", data + random.randbytes(random.choice((1, 16, 1000)))


def _replace_all(data: bytes, random: Random) -> tuple[str, bytes]:
    return "other bytes", random.randbytes(random.choice((1, 100, len(data) + 1)))


_BYTE_DAMAGES = (
    *(_flip_bits,) * 4,
    *(_truncate, _zero_block) * 2,
    _duplicate_block,
    _remove_block,
    _copy_block,
    _append,
    _replace_all,
)


def damage_fields(path: Path, random: Random) -> str:
    """Change one value of a JSON file to another that its schema may well accept."""
    document = json.loads(path.read_text(encoding="utf-8"))
    for _ in range(100):
        changed = copy.deepcopy(document)
        words = _change_value(changed, random)
        if words and changed != document:
            write_anew(path, (json.dumps(changed, indent=1) + "\n").encode("utf-8", "surrogatepass"))
            return words
    raise AssertionError(f"{path} has nothing to change")


def _change_value(document: Any, random: Random) -> str | None:
    """Change one value; return its place and the change, or None if the value has no such change."""
    places = list(_walk(document))
    # Fields with many values, such as ranges and logits, are not drawn more often than others.
    names = sorted({_generalize(place) for place, _, _ in places})
    name = random.choice(names)
    place, container, key = random.choice([one for one in places if _generalize(one[0]) == name])
    text = ".".join(map(str, place))
    value = container[key]
    match value:
        case bool():
            container[key] = random.choice((not value, None, int(value)))
        case int() | float():
            container[key] = random.choice(
                (value * 10, -value, value + 1, value * 1.01, value / 2, None, str(value), *_HOSTILE_NUMBERS)
            )
        case str():
            container[key] = random.choice((value[:-1], value + "x", value[::-1], None, 3, *_HOSTILE_TEXTS))
        case list() if value:
            return _change_list(container, key, text, random)
        case dict() if value:
            return _change_mapping(value, text, random)
        case _:
            container[key] = random.choice((0, "x", [0], {"x": 0}))
    return f"{text}: {value!r:.60} became {container[key]!r:.60}"


def _generalize(place: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return the place of a value without positions in lists, and without names of layers."""
    return tuple("*" if isinstance(part, int) or "." in part else part for part in place)


def _change_list(container: Any, key: str | int, text: str, random: Random) -> str | None:
    value = container[key]
    first, second = random.randrange(len(value)), random.randrange(len(value))
    match random.choice(("swap", "swap", "drop", "repeat", "reverse", "empty")):
        case "swap":
            value[first], value[second] = value[second], value[first]
            return f"{text}: {first} and {second} exchanged"
        case "drop":
            del value[first]
            return f"{text}: {first} dropped"
        case "repeat":
            value.insert(first, copy.deepcopy(value[second]))
            return f"{text}: {second} repeated"
        case "reverse":
            value.reverse()
            return f"{text}: reversed"
        case _:
            container[key] = []
            return f"{text}: emptied"


def _change_mapping(value: dict[str, Any], text: str, random: Random) -> str | None:
    name = random.choice(sorted(value))
    match random.choice(("drop", "add", "rename", "swap")):
        case "drop":
            del value[name]
            return f"{text}: {name} dropped"
        case "add":
            value["unknown"] = 1
            return f"{text}: unknown added"
        case "rename":
            value[f"{name}x"] = value.pop(name)
            return f"{text}: {name} renamed"
        case _:
            other = random.choice(sorted(value))
            value[name], value[other] = value[other], value[name]
            return f"{text}: {name} and {other} exchanged"


def _walk(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any, Any]]:
    """Yield the place, container and key of every value in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key), value, key
        yield from _walk(inner, (*place, key))


def damage_json(path: Path, random: Random) -> str:
    """Damage a JSON file: mostly its fields, sometimes its bytes."""
    return (damage_fields if random.random() < 0.75 else damage_bytes)(path, random)


def damage_folder(path: Path, random: Random) -> str:
    """Damage a folder: remove, add, rename or damage a member."""
    members = sorted(member for member in path.rglob("*") if member.is_file())
    member = random.choice(members)
    name = member.relative_to(path)
    match random.choice(("bytes", "bytes", "remove", "add", "rename", "link", "folder", "exchange", "fields")):
        case "remove":
            member.unlink()
            return f"{name} removed"
        case "add":
            (member.parent / "extra.bin").write_bytes(b"extra")
            return f"extra.bin added beside {name}"
        case "rename":
            member.rename(member.with_name(f"{member.name}.old"))
            return f"{name} renamed"
        case "link":
            (member.parent / "link").symlink_to("/etc/passwd")
            return f"a link added beside {name}"
        case "folder":
            (member.parent / "empty").mkdir()
            return f"an empty folder added beside {name}"
        case "exchange" if len(members) > 1:
            other = random.choice([one for one in members if one != member])
            data = member.read_bytes()
            write_anew(member, other.read_bytes())
            write_anew(other, data)
            return f"{name} and {other.relative_to(path)} exchanged"
        case "fields" if documents := [one for one in members if one.suffix == ".json"]:
            chosen = random.choice(documents)
            return f"{chosen.relative_to(path)}: {damage_fields(chosen, random)}"
    return f"{name}: {damage_bytes(member, random)}"


def damage_numbers(path: Path, random: Random) -> str:
    """Overwrite numbers of a file, or of a file in a folder, mostly at its ends, where formats keep their structure."""
    members = sorted(member for member in path.rglob("*") if member.is_file()) or [path]
    member = random.choice(members)
    data = bytearray(member.read_bytes())
    done = []
    for _ in range(random.choice((1, 1, 4))):
        size = random.choice((1, 2, 4, 8))
        end = max(1, len(data) - size)
        near = random.randrange(min(end, _STRUCTURE_BYTES))
        place = random.choice((near, end - near, random.randrange(end)))
        largest = (1 << 8 * size) - 1
        number = random.choice(
            (0, 1, largest, largest >> 1, (largest >> 1) + 1, largest - 15, random.randint(0, largest))
        )
        data[place : place + size] = number.to_bytes(size, "little")
        done.append(f"{number:#x} at {place}")
    write_anew(member, bytes(data))
    return f"{member.name}: {', '.join(done)}"


def vouch(damage: Damage) -> Damage:
    """Return a damage of an artifact after which its manifest and goldens hold the new SHA-256 and size.

    So only what reads the artifact itself can notice the damage.
    """

    def damage_and_vouch(path: Path, random: Random) -> str:
        words = damage(path, random)
        if (program := path / "main.mlirb").exists():
            write_anew(path / "main.hash", sha256(program.read_bytes()).digest())
        goldens, manifest = get_goldens_path(path), get_manifest_path(path)
        _write_document(goldens / GOLDENS_NAME, {"artifact_sha256": compute_sha256(path)})
        artifact = {"sha256": compute_sha256(path), "bytes": compute_size_bytes(path)}
        _write_document(manifest, {"artifact": artifact, "goldens": {"sha256": compute_sha256(goldens)}})
        return f"{words}, vouched for"

    return damage_and_vouch


def _write_document(path: Path, changes: dict[str, Any]) -> None:
    """Change fields of a document, and its checksum if it has one."""
    document = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        document[name] = document[name] | value if isinstance(value, dict) else value
    if document.pop(CHECKSUM_FIELD, None) is not None:
        document[CHECKSUM_FIELD] = compute_content_sha256(document)
    write_anew(path, json.dumps(document, indent=1).encode())


def damage_tensors(path: Path, random: Random) -> str:
    """Damage a .safetensors file: its bytes, or a value, name or text inside a well-formed file."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    if random.random() < 0.5:
        return damage_bytes(path, random)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        texts = dict(file.metadata() or {})
    name = random.choice(sorted(tensors))
    words = f"{name} changed"
    match random.choice(("value", "value", "drop", "rename", "text", "transpose", "swap")):
        case "drop":
            del tensors[name]
            words = f"{name} dropped"
        case "rename":
            tensors[f"{name}x"] = tensors.pop(name)
            words = f"{name} renamed"
        case "text" if texts:
            key = random.choice(sorted(texts))
            texts[key] = random.choice((texts[key][:-2], texts[key].replace("a", "b", 1), texts[key][::-1], "x", ""))
            words = f"the text {key} changed"
        case "transpose" if tensors[name].ndim > 1:
            tensors[name] = tensors[name].transpose(0, 1).contiguous()
            words = f"{name} transposed"
        case "swap" if len(tensors) > 1:
            same = [one for one in tensors if one != name and tensors[one].shape == tensors[name].shape]
            other = random.choice(same or [name])
            tensors[name], tensors[other] = tensors[other], tensors[name]
            words = f"{name} and {other} exchanged"
        case _:
            changed = tensors[name].clone().reshape(-1)
            factor = random.choice((-1.0, 1e6, 1.01, math.nan))
            place = random.randrange(len(changed))
            changed[place] = changed[place] * factor + (1 if changed.is_floating_point() and factor == factor else 0)
            tensors[name] = changed.reshape(tensors[name].shape)
            words = f"{name}[{place}] changed by the factor {factor}"
    path.unlink()
    save_file(tensors, path, texts)
    return words


def remove(path: Path, random: Random) -> str:
    """Remove a file or folder, or put one of the other sort in its place."""
    is_folder = path.is_dir()
    shutil.rmtree(path) if is_folder else path.unlink()
    if random.random() < 0.5:
        return "removed"
    if is_folder:
        path.write_bytes(b"a file")
        return "replaced by a file"
    path.mkdir()
    return "replaced by a folder"


def mostly(damage: Damage) -> Damage:
    """Return a damage that now and then removes the whole thing instead."""
    return lambda path, random: (remove if random.random() < 0.04 else damage)(path, random)
