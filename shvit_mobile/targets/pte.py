"""What an ExecuTorch program holds, read from the .pte file itself: operators, constants by dtype, delegation.

A .pte is a flatbuffer with segments behind it; an XNNPACK delegate's payload is a header, a flatbuffer of its own, and
constants in the segments. Both are read with the schemas and the flatc that come with ExecuTorch, without importing
ExecuTorch or torch and in a process of its own: flatc dies of damaged files.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shvit_mobile.contracts.manifest import Delegation, Inventory
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact, ToolMissing

XNNPACK_BACKEND = "XnnpackBackend"
PROGRAM_MAGIC = slice(4, 8), b"ET12"
FLATC_TIMEOUT_SECONDS = 60

# The names of dtypes in the two schemas; the XNNPACK ones say more of the scales than of the bytes.
PROGRAM_DTYPES = {
    "BYTE": ("uint8", 1),
    "CHAR": ("int8", 1),
    "SHORT": ("int16", 2),
    "INT": ("int32", 4),
    "LONG": ("int64", 8),
    "HALF": ("float16", 2),
    "FLOAT": ("float32", 4),
    "DOUBLE": ("float64", 8),
    "BOOL": ("bool", 1),
    "BFLOAT16": ("bfloat16", 2),
}
XNNPACK_DTYPES = {
    "fp32": "float32",
    "pfp32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
    "qint8": "int8",
    "quint8": "uint8",
    "qcint8": "int8",
    "qdint8": "int8",
    "qpint8": "int8",
    "qcint4": "int4",
    "qbint4": "int4",
    "qint32": "int32",
    "qcint32": "int32",
    "int32": "int32",
}
# Weights and activations of these XNNPACK dtypes are what int8 kernels take.
INT8_WEIGHT_DTYPES, INT8_ACTIVATION_DTYPES = {"qint8", "qcint8"}, {"qint8", "quint8", "qdint8", "qpint8"}
LAYER_TYPES = {"XNNConv2d", "XNNDepthwiseConv2d", "XNNConvTranspose2d", "XNNFullyConnected"}


@dataclass(frozen=True)
class ProgramContents:
    """What `inspect_program` finds.

    Attributes:
        inventory: operators that ExecuTorch's own kernels run ("aten::mean.out"), calls of each backend
            ("XnnpackBackend"), and XNNPACK's operators inside those ("XNNConv2d"); bytes of constants without padding,
            each counted once however often it is used.
        delegation: counted in the same operators. Inside a delegate there are fewer than in the exported graph, because
            XNNPACK fuses, and more where it changes a layout or a dtype.
    """

    inventory: Inventory
    delegation: Delegation


def inspect_program(path: AnyPath) -> ProgramContents:
    """Reads a .pte file; nothing of it is run.

    Raises:
        BadArtifact: it cannot be read, is no ExecuTorch program, or is damaged.
        ToolMissing: ExecuTorch, whose schemas and flatc this needs, is not installed.
    """
    path = Path(path)
    data = read_program_bytes(path)
    try:
        return summarize_program(ParsedProgram.parse(data))
    except (DamagedError, struct.error, KeyError, IndexError, TypeError, ValueError, OverflowError) as reason:
        raise build_damage_error(path) from reason


def read_program_bytes(path: Path) -> bytes:
    """The bytes of a .pte file.

    Raises:
        BadArtifact: it cannot be read, or does not begin as an ExecuTorch program does.
    """
    try:
        data = path.read_bytes()
    except OSError as reason:
        raise BadArtifact(
            f"{path} cannot be read: {reason.strerror}.", why="It should be an ExecuTorch program, one file."
        ) from None
    place, magic = PROGRAM_MAGIC
    if data[place] != magic:
        raise BadArtifact(
            f"{path} is not an ExecuTorch program.",
            why=f"Bytes 4 to 7 of one are {magic!r}; in this file of {len(data)} bytes they are {data[place]!r}.",
            hint="Make one: shvit-mobile export --target executorch",
        )
    return data


def build_damage_error(path: Path) -> BadArtifact:
    return BadArtifact(
        f"{path} is damaged.",
        why="It begins as an ExecuTorch program does, but the rest does not hold together.",
        hint="Export it again: shvit-mobile export --target executorch",
    )


class DamagedError(Exception):
    """A flatbuffer that flatc cannot read, or an offset that leads out of the file."""


@dataclass(frozen=True)
class ParsedProgram:
    """A program's flatbuffer as JSON, the bytes it points into, and the XNNPACK graphs among its delegates.

    Attributes:
        fields: of the root table.
        segments: (begin, end) of each in the file.
        graphs: by the index of the delegate.
    """

    fields: dict[str, Any]
    segments: tuple[tuple[int, int], ...]
    graphs: dict[int, dict[str, Any]]

    @classmethod
    def parse(cls, data: bytes) -> ParsedProgram:
        """Raises `DamagedError`, or what reading a broken structure raises."""
        program_size, base = read_extended_header(data)
        root = find_executorch_folder()
        fields = convert_to_json(root / "exir/_serialize/program.fbs", [data[:program_size]])[0]
        segments = tuple((base + s["offset"], base + s["offset"] + s["size"]) for s in fields["segments"])
        if any(not 0 <= begin <= end <= len(data) for begin, end in segments):
            raise DamagedError("a segment lies outside of the file")
        payloads = {
            index: extract_xnnpack_flatbuffer(get_delegate_payload(data, fields, segments, delegate))
            for index, delegate in enumerate(get_execution_plan(fields)["delegates"])
            if delegate["id"] == XNNPACK_BACKEND
        }
        graphs = convert_to_json(root / "backends/xnnpack/serialization/schema.fbs", list(payloads.values()))
        return cls(fields, segments, dict(zip(payloads, graphs, strict=True)))


def get_execution_plan(fields: dict[str, Any]) -> dict[str, Any]:
    """The one method of our programs."""
    only: dict[str, Any] = fields["execution_plan"][0]
    return only


def read_extended_header(data: bytes) -> tuple[int, int]:
    """The length of the program's flatbuffer, and where the segments begin."""
    magic, _, program_size, base = struct.unpack_from("<4sIQQ", data, 8)
    if magic != b"eh00":
        return len(data), 0
    if not 0 < program_size <= len(data):
        raise DamagedError("the program is longer than the file")
    return program_size, base


def get_delegate_payload(
    data: bytes, fields: dict[str, Any], segments: Sequence[tuple[int, int]], delegate: dict[str, Any]
) -> bytes:
    where = delegate["processed"]
    if where["location"] == "INLINE":
        return bytes(fields["backend_delegate_data"][where["index"]]["data"])
    begin, end = segments[where["index"]]
    return data[begin:end]


def extract_xnnpack_flatbuffer(processed: bytes) -> bytes:
    """The flatbuffer in a delegate's payload, which begins with XNNPACK's header."""
    magic, _, offset, size = struct.unpack_from("<4x4sHII", processed)
    if magic != b"XH00":
        raise DamagedError("a delegate's payload is not XNNPACK's")
    if offset + size > len(processed):
        raise DamagedError("a delegate's graph is longer than its payload")
    return processed[offset : offset + size]


def summarize_program(program: ParsedProgram) -> ProgramContents:
    ours = get_execution_plan(program.fields)
    calls = [step["instr_args"] for chain in ours["chains"] for step in chain["instructions"]]
    kernels = Counter(format_operator_name(ours["operators"][call["op_index"]]) for call in calls if "op_index" in call)
    backends = Counter(ours["delegates"][call["delegate_index"]]["id"] for call in calls if "delegate_index" in call)
    inside = Counter(node["xnode_union_type"] for graph in program.graphs.values() for node in graph["xnodes"])
    inventory = Inventory(
        operators=dict(sorted((kernels + backends + inside).items())),
        weight_bytes=dict(sorted(count_weight_bytes(program).items())),
        quantized_layers=sum(map(count_quantized_layers, program.graphs.values())),
    )
    delegation = Delegation(
        backend=", ".join(sorted(backends)) or "none",
        delegates=sum(backends.values()),
        delegated_operators=inside.total(),
        left_operators=dict(sorted(kernels.items())),
    )
    return ProgramContents(inventory, delegation)


def format_operator_name(operator: dict[str, Any]) -> str:
    return f"{operator['name']}.{operator['overload']}" if operator["overload"] else str(operator["name"])


def count_weight_bytes(program: ParsedProgram) -> Counter[str]:
    """Bytes of constants by dtype, whether a delegate or ExecuTorch's own kernels use them."""
    segment_of = {named["key"]: named["segment_index"] for named in program.fields.get("named_data", [])}
    found: dict[object, tuple[str, int]] = dict(iterate_kernel_constants(get_execution_plan(program.fields)))
    for index, graph in program.graphs.items():
        for dtype, constant in iterate_graph_constants(graph):
            key = constant["named_key"]
            where = ("segment", segment_of[key]) if key else ("delegate", index, constant["offset"])
            found[where] = dtype, constant["size"]
    by_dtype: Counter[str] = Counter()
    for dtype, size in found.values():
        by_dtype[dtype] += size
    return by_dtype


def iterate_kernel_constants(plan: dict[str, Any]) -> Iterator[tuple[object, tuple[str, int]]]:
    """The tensors with data among a method's values: where, and (dtype, bytes)."""
    for value in plan["values"]:
        if value["val_type"] != "Tensor":
            continue
        tensor = value["val"]
        # Buffer 0 stands for no data; data that is also allocated is a mutable buffer's initial value.
        if tensor["data_buffer_idx"] and tensor.get("allocation_info") is None:
            dtype, size = PROGRAM_DTYPES.get(tensor["scalar_type"], (tensor["scalar_type"].lower(), 1))
            yield ("constant", tensor["data_buffer_idx"]), (dtype, size * prod(tensor["sizes"]))


def iterate_graph_constants(graph: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The constants of an XNNPACK graph: weights, biases and the scales of channels, with their dtypes."""
    constants = graph["constant_data"]
    for value in graph["xvalues"]:
        tensor, quantization = unwrap_tensor_value(value)
        if tensor["constant_buffer_idx"]:
            dtype = get_xnnpack_dtype(tensor)
            yield XNNPACK_DTYPES.get(dtype, dtype), constants[tensor["constant_buffer_idx"]]
        if quantization.get("scale_buffer_idx"):
            yield "float32", constants[quantization["scale_buffer_idx"]]


def count_quantized_layers(graph: dict[str, Any]) -> int:
    """The layers of an XNNPACK graph whose input and weights are both int8."""
    dtypes = {
        tensor["id_out"]: get_xnnpack_dtype(tensor)
        for tensor, _ in (unwrap_tensor_value(value) for value in graph["xvalues"])
    }
    layers = [node["xnode_union"] for node in graph["xnodes"] if node["xnode_union_type"] in LAYER_TYPES]
    return sum(
        dtypes[layer["input1_id"]] in INT8_ACTIVATION_DTYPES and dtypes[layer["filter_id"]] in INT8_WEIGHT_DTYPES
        for layer in layers
    )


def unwrap_tensor_value(value: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A value's tensor and its quantization parameters, which are empty where it has none."""
    inner = value["xvalue_union"]
    return (inner, {}) if "tensor_value" not in inner else (inner["tensor_value"], inner.get("quant_params", {}))


def get_xnnpack_dtype(tensor: dict[str, Any]) -> str:
    return str(tensor["datatype"]).removeprefix("xnn_datatype_")


def find_executorch_folder() -> Path:
    """ExecuTorch's folder, found without importing it.

    Raises:
        ToolMissing: it is not installed.
    """
    found = find_spec("executorch")
    if found is None or not found.submodule_search_locations:
        raise ToolMissing("executorch is not installed.", hint="pip install executorch==1.4.1")
    return Path(found.submodule_search_locations[0])


def find_flatc() -> Path:
    """The flatbuffer compiler that comes with ExecuTorch, or the machine's own.

    Raises:
        ToolMissing: there is neither.
    """
    own = shutil.which("flatc", path=str(find_executorch_folder() / "data/bin"))
    anywhere = own or shutil.which("flatc")
    if anywhere is None:
        raise ToolMissing(
            "flatc is missing.",
            why="It reads ExecuTorch programs.",
            hint="pip install --force-reinstall executorch==1.4.1",
        )
    return Path(anywhere)


def convert_to_json(schema: Path, flatbuffers: Sequence[bytes]) -> list[dict[str, Any]]:
    """Flatbuffers of one schema as JSON objects with every field, defaults too.

    Raises:
        DamagedError: flatc refuses one of them, dies of it, or takes longer than a minute.
    """
    if not flatbuffers:
        return []
    with TemporaryDirectory() as folder:
        binaries = [Path(folder, f"{index}.bin") for index in range(len(flatbuffers))]
        for binary, flatbuffer in zip(binaries, flatbuffers, strict=True):
            binary.write_bytes(flatbuffer)
        options = ["--json", "--strict-json", "--defaults-json", "-o", folder]
        command = [str(find_flatc()), *options, str(schema), "--", *map(str, binaries)]
        try:
            # In the folder, so that what a dying flatc dumps vanishes with it.
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=FLATC_TIMEOUT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise DamagedError("flatc does not come to an end") from None
        if done.returncode:
            raise DamagedError(f"flatc ended with {done.returncode}")
        return [json.loads(normalize_infinities(binary.with_suffix(".json").read_text())) for binary in binaries]


def normalize_infinities(text: str) -> str:
    """JSON as Python reads it: flatc writes an unbounded clamp's limits as inf."""
    return re.sub(r"^(\s*(?:\"\w+\": )?-?)inf(,?)$", r"\1Infinity\2", text, flags=re.MULTILINE)
