"""Read the contents of an ExecuTorch program from the .pte file: operators, constants by dtype, delegation.

A .pte is a flatbuffer followed by segments. The payload of an XNNPACK or Vulkan delegate is a header, another
flatbuffer, and constants in the segments; that of a Core ML delegate contains a package. The schemas and flatc come
with ExecuTorch, which is not imported. flatc runs in a separate process because damaged files crash it.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shvit_mobile.contracts.artifact import MAX_ARTIFACT_BYTES
from shvit_mobile.contracts.files import read_bytes
from shvit_mobile.contracts.manifest import Delegation, Inventory
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact, ToolMissing
from shvit_mobile.quiet import REQUIREMENTS, build_missing_error
from shvit_mobile.targets.coreml_payload import unpack_payload

XNNPACK_BACKEND, COREML_BACKEND, VULKAN_BACKEND = "XnnpackBackend", "CoreMLBackend", "VulkanBackend"
# The first bytes of a payload's header, and the schema of the flatbuffer behind it.
_HEADER_MAGICS = {XNNPACK_BACKEND: b"XH00", VULKAN_BACKEND: b"VH00"}
_GRAPH_SCHEMAS = {
    XNNPACK_BACKEND: "backends/xnnpack/serialization/schema.fbs",
    VULKAN_BACKEND: "backends/vulkan/serialization/schema.fbs",
}
# Vulkan's layers with int8 activations and int8 weights, by the start of their names.
_VULKAN_INT8_LAYERS = ("et_vk.q8ta_conv", "et_vk.q8ta_linear")
_PROGRAM_MAGIC = b"ET12"
_FLATC_TIMEOUT_SECONDS = 60

# The dtypes of the two schemas; XNNPACK's names also describe the scales.
_PROGRAM_DTYPES = {
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
_XNNPACK_DTYPES = {
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
_VULKAN_BYTES = dict(_PROGRAM_DTYPES.values())
# The XNNPACK dtypes that int8 kernels take.
INT8_WEIGHT_DTYPES, INT8_ACTIVATION_DTYPES = {"qint8", "qcint8"}, {"qint8", "quint8", "qdint8", "qpint8"}
_LAYER_TYPES = {"XNNConv2d", "XNNDepthwiseConv2d", "XNNConvTranspose2d", "XNNFullyConnected"}


@dataclass(frozen=True)
class _ProgramContents:
    """The contents of a program.

    A program for several image sizes has a method for each, with the same weights and operators.

    Attributes:
        inventory: The operators that ExecuTorch's own kernels run ("aten::mean.out"), the calls of each backend
            ("XnnpackBackend") and the operators inside those ("XNNConv2d" of XNNPACK, "conv" of Core ML,
            "aten.convolution.default" of Vulkan), all of the first method; the bytes of constants without padding, each
            counted once.
        delegation: Counts of the same operators. A delegate has fewer than the exported graph where XNNPACK fuses, and
            more where it changes a layout or a dtype. Of several methods, those of the one with the lowest share.
        wide_softmaxes: The softmaxes of XNNPACK over a tensor of four axes. ExecuTorch 1.4.1 gives it channels last if
            a convolution computed it, and XNNPACK then runs over the channels, whatever the model says.
    """

    inventory: Inventory
    delegation: Delegation
    wide_softmaxes: int


def inspect_program(path: AnyPath) -> _ProgramContents:
    """Read a .pte file without running it.

    Raises:
        BadArtifact: If it cannot be read, is not an ExecuTorch program, or is damaged.
        ToolMissing: If ExecuTorch, whose schemas and flatc this needs, is not installed.
    """
    path = Path(path)
    data = read_program_bytes(path)
    with _report_damage(path):
        program = _ParsedProgram.parse(data)
        others = [_read_package_inventory(payload, path) for payload in program.list_payloads(COREML_BACKEND)]
        others += map(_count_vulkan_graph, _read_graphs(program.list_payloads(VULKAN_BACKEND), VULKAN_BACKEND))
        return _summarize_program(program, others)


def read_delegate_payload(path: Path, backend: str) -> bytes:
    """Return the payload of a program's only delegate.

    Raises:
        BadArtifact: As `inspect_program`, or if it is not one delegate of this backend.
        ToolMissing: As `inspect_program`.
    """
    data = read_program_bytes(path)
    with _report_damage(path):
        payloads = _ParsedProgram.parse(data).list_payloads(backend)
    if len(payloads) != 1:
        raise BadArtifact(
            f"{path} has {len(payloads)} delegates of {backend}.", why="It should have one.", hint="Export it again."
        )
    return payloads[0]


@contextmanager
def _report_damage(path: Path) -> Iterator[None]:
    """Raise `BadArtifact` for any error of reading a broken structure."""
    try:
        yield
    except (_DamagedError, struct.error, KeyError, IndexError, TypeError, ValueError, OverflowError) as reason:
        raise BadArtifact(
            f"{path} is damaged.",
            why="It starts like an ExecuTorch program, but the rest is inconsistent.",
            hint="Export it again.",
        ) from reason


def _read_package_inventory(payload: bytes, path: Path) -> Inventory:
    """Return the inventory of the package in a Core ML delegate."""
    from shvit_mobile.targets.coreml.inventory import read_inventory  # imports torch

    with TemporaryDirectory() as folder:
        return read_inventory(unpack_payload(payload, Path(folder, path.name), path))


def read_program_bytes(path: Path) -> bytes:
    """Return the bytes of a .pte file.

    Raises:
        BadArtifact: If it cannot be read, or does not start like an ExecuTorch program.
    """
    data = read_bytes(path, limit=MAX_ARTIFACT_BYTES, error=BadArtifact, what="an ExecuTorch program")
    magic = data[4:8]
    if magic != _PROGRAM_MAGIC:
        raise BadArtifact(
            f"{path} is not an ExecuTorch program.",
            why=f"Its bytes 4 to 7 should be {_PROGRAM_MAGIC!r}; in this file of {len(data)} bytes they are {magic!r}.",
            hint="Export one with `target='executorch'`.",
        )
    return data


class _DamagedError(Exception):
    """A flatbuffer that flatc cannot read, or an offset outside the file."""


@dataclass(frozen=True)
class _ParsedMethod:
    """A method's execution plan and the flatbuffers of its XNNPACK delegates, as JSON.

    Attributes:
        plan: The plan.
        payloads: (backend, payload) of each delegate.
        graphs: The XNNPACK graphs by the index of the delegate.
    """

    plan: dict[str, Any]
    payloads: tuple[tuple[str, bytes], ...]
    graphs: dict[int, dict[str, Any]]


@dataclass(frozen=True)
class _ParsedProgram:
    """A program's flatbuffer as JSON, and its methods.

    Attributes:
        fields: The root table.
        methods: In the order of the file.
    """

    fields: dict[str, Any]
    methods: tuple[_ParsedMethod, ...]

    @classmethod
    def parse(cls, data: bytes) -> _ParsedProgram:
        """Parse a program; raise `_DamagedError`, or any error of reading a broken structure."""
        program_size, base = _read_extended_header(data)
        root = _find_executorch_folder()
        fields = _convert_to_json(root / "exir/_serialize/program.fbs", [data[:program_size]])[0]
        segments = tuple((base + s["offset"], base + s["offset"] + s["size"]) for s in fields["segments"])
        if any(not 0 <= begin <= end <= len(data) for begin, end in segments):
            raise _DamagedError("a segment is outside the file")
        methods = tuple(_parse_method(data, fields, segments, plan) for plan in fields["execution_plan"])
        if not methods:
            raise _DamagedError("there is no method")
        return cls(fields, methods)

    def list_payloads(self, backend: str) -> list[bytes]:
        """Return the payloads of the delegates of a backend."""
        return [payload for method in self.methods for name, payload in method.payloads if name == backend]


def _parse_method(
    data: bytes, fields: dict[str, Any], segments: Sequence[tuple[int, int]], plan: dict[str, Any]
) -> _ParsedMethod:
    payloads = tuple(
        (delegate["id"], _get_delegate_payload(data, fields, segments, delegate)) for delegate in plan["delegates"]
    )
    places = [index for index, (backend, _) in enumerate(payloads) if backend == XNNPACK_BACKEND]
    graphs = _read_graphs([payloads[index][1] for index in places], XNNPACK_BACKEND)
    return _ParsedMethod(plan, payloads, dict(zip(places, graphs, strict=True)))


def _read_extended_header(data: bytes) -> tuple[int, int]:
    """Return the length of the program's flatbuffer, and the offset of the segments."""
    magic, _, program_size, base = struct.unpack_from("<4sIQQ", data, 8)
    if magic != b"eh00":
        return len(data), 0
    if not 0 < program_size <= len(data):
        raise _DamagedError("the program is longer than the file")
    return program_size, base


def _get_delegate_payload(
    data: bytes, fields: dict[str, Any], segments: Sequence[tuple[int, int]], delegate: dict[str, Any]
) -> bytes:
    payload = delegate["processed"]
    if payload["location"] == "INLINE":
        return bytes(fields["backend_delegate_data"][payload["index"]]["data"])
    begin, end = segments[payload["index"]]
    return data[begin:end]


def _read_graphs(payloads: Sequence[bytes], backend: str) -> list[dict[str, Any]]:
    """Return the graphs in the payloads of XNNPACK or Vulkan."""
    flatbuffers = [_extract_flatbuffer(payload, _HEADER_MAGICS[backend]) for payload in payloads]
    return _convert_to_json(_find_executorch_folder() / _GRAPH_SCHEMAS[backend], flatbuffers)


def _extract_flatbuffer(processed: bytes, expected: bytes) -> bytes:
    """Return the flatbuffer in a delegate's payload, whose header starts with `expected`."""
    magic, _, offset, size = struct.unpack_from("<4x4sHII", processed)
    if magic != expected:
        raise _DamagedError("a delegate's payload is not its backend's")
    if offset + size > len(processed):
        raise _DamagedError("a delegate's graph is longer than its payload")
    return processed[offset : offset + size]


def _count_vulkan_graph(graph: dict[str, Any]) -> Inventory:
    """Return the inventory of a Vulkan graph."""
    operators = Counter(call["name"] for call in graph["chain"])
    tensors = (value["value"] for value in graph["values"] if value["value_type"] == "VkTensor")
    constants = {tensor["constant_id"]: tensor for tensor in tensors if tensor["constant_id"] >= 0}
    sizes: Counter[str] = Counter()
    for tensor in constants.values():
        dtype = str(tensor["datatype"]).lower()
        sizes[dtype] += prod(tensor["dims"]) * _VULKAN_BYTES[dtype]
    layers = sum(count for name, count in operators.items() if name.startswith(_VULKAN_INT8_LAYERS))
    return Inventory(operators=operators, weight_bytes=sizes, quantized_layers=layers)


def _summarize_program(program: _ParsedProgram, others: Sequence[Inventory]) -> _ProgramContents:
    """Return the contents of a program; `others` are the inventories of its delegates for Core ML and Vulkan."""
    weight_bytes = _count_weight_bytes(program)
    for other in others:
        weight_bytes.update(other.weight_bytes)
    inventories, delegations = zip(*(_summarize_method(method, others) for method in program.methods), strict=True)
    return _ProgramContents(
        inventories[0].model_copy(update={"weight_bytes": dict(sorted(weight_bytes.items()))}),
        min(delegations, key=lambda delegation: delegation.share),
        sum(_count_wide_softmaxes(graph) for method in program.methods for graph in method.graphs.values()),
    )


def _summarize_method(method: _ParsedMethod, others: Sequence[Inventory]) -> tuple[Inventory, Delegation]:
    """Return the operators of a method, without the bytes of its constants, and its delegation."""
    plan = method.plan
    calls = [step["instr_args"] for chain in plan["chains"] for step in chain["instructions"]]
    kernels = Counter(
        _format_operator_name(plan["operators"][call["op_index"]]) for call in calls if "op_index" in call
    )
    backends = Counter(plan["delegates"][call["delegate_index"]]["id"] for call in calls if "delegate_index" in call)
    inside = Counter(node["xnode_union_type"] for graph in method.graphs.values() for node in graph["xnodes"])
    for other in others:
        inside.update(other.operators)
    inventory = Inventory(
        operators=dict(sorted((kernels + backends + inside).items())),
        weight_bytes={},
        quantized_layers=sum(map(_count_quantized_layers, method.graphs.values()))
        + sum(other.quantized_layers for other in others),
    )
    delegation = Delegation(
        backend=", ".join(sorted(backends)) or "none",
        delegates=sum(backends.values()),
        delegated_operators=inside.total(),
        left_operators=dict(sorted(kernels.items())),
    )
    return inventory, delegation


def _format_operator_name(operator: dict[str, Any]) -> str:
    return f"{operator['name']}.{operator['overload']}" if operator["overload"] else str(operator["name"])


def _count_weight_bytes(program: _ParsedProgram) -> Counter[str]:
    """Count the bytes of constants by dtype, in delegates and in ExecuTorch's own kernels."""
    segment_of = {named["key"]: named["segment_index"] for named in program.fields.get("named_data", [])}
    sizes: dict[object, tuple[str, int]] = {}
    for number, method in enumerate(program.methods):
        sizes.update(_iterate_kernel_constants(method.plan))
        for index, graph in method.graphs.items():
            for dtype, constant in _iterate_graph_constants(graph):
                key = constant["named_key"]
                location = ("segment", segment_of[key]) if key else ("delegate", number, index, constant["offset"])
                sizes[location] = dtype, constant["size"]
    by_dtype: Counter[str] = Counter()
    for dtype, size in sizes.values():
        by_dtype[dtype] += size
    return by_dtype


def _iterate_kernel_constants(plan: dict[str, Any]) -> Iterator[tuple[object, tuple[str, int]]]:
    """Yield the location and the (dtype, bytes) of each tensor with data among a method's values."""
    for value in plan["values"]:
        if value["val_type"] != "Tensor":
            continue
        tensor = value["val"]
        # Buffer 0 means no data; data with an allocation is the initial value of a mutable buffer.
        if tensor["data_buffer_idx"] and tensor.get("allocation_info") is None:
            dtype, size = _PROGRAM_DTYPES.get(tensor["scalar_type"], (tensor["scalar_type"].lower(), 1))
            yield ("constant", tensor["data_buffer_idx"]), (dtype, size * prod(tensor["sizes"]))


def _iterate_graph_constants(graph: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the constants of an XNNPACK graph with their dtypes: weights, biases and channel scales."""
    constants = graph["constant_data"]
    for value in graph["xvalues"]:
        tensor, quantization = _unwrap_tensor_value(value)
        if tensor["constant_buffer_idx"]:
            dtype = _get_xnnpack_dtype(tensor)
            yield _XNNPACK_DTYPES.get(dtype, dtype), constants[tensor["constant_buffer_idx"]]
        if quantization.get("scale_buffer_idx"):
            yield "float32", constants[quantization["scale_buffer_idx"]]


def _count_quantized_layers(graph: dict[str, Any]) -> int:
    """Count the layers of an XNNPACK graph with int8 inputs and int8 weights."""
    dtypes = {
        tensor["id_out"]: _get_xnnpack_dtype(tensor)
        for tensor, _ in (_unwrap_tensor_value(value) for value in graph["xvalues"])
    }
    layers = [node["xnode_union"] for node in graph["xnodes"] if node["xnode_union_type"] in _LAYER_TYPES]
    return sum(
        dtypes[layer["input1_id"]] in INT8_ACTIVATION_DTYPES and dtypes[layer["filter_id"]] in INT8_WEIGHT_DTYPES
        for layer in layers
    )


def _count_wide_softmaxes(graph: dict[str, Any]) -> int:
    """Count the softmaxes of an XNNPACK graph over a tensor of four axes."""
    ranks = {
        tensor["id_out"]: len(tensor["dims"])
        for tensor, _ in (_unwrap_tensor_value(value) for value in graph["xvalues"])
    }
    softmaxes = [node["xnode_union"] for node in graph["xnodes"] if node["xnode_union_type"] == "XNNSoftmax"]
    return sum(ranks[softmax["input_id"]] == 4 for softmax in softmaxes)


def _unwrap_tensor_value(value: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a value's tensor and its quantization parameters, empty if it has none."""
    inner = value["xvalue_union"]
    return (inner, {}) if "tensor_value" not in inner else (inner["tensor_value"], inner.get("quant_params", {}))


def _get_xnnpack_dtype(tensor: dict[str, Any]) -> str:
    return str(tensor["datatype"]).removeprefix("xnn_datatype_")


def _find_executorch_folder() -> Path:
    """Return ExecuTorch's folder without importing it."""
    spec = find_spec("executorch")
    if spec is None or not spec.submodule_search_locations:
        raise build_missing_error("executorch", "Its schemas and flatc read .pte programs.")
    return Path(spec.submodule_search_locations[0])


def _find_flatc() -> Path:
    """Return the flatbuffer compiler that comes with ExecuTorch, or the machine's."""
    bundled = shutil.which("flatc", path=str(_find_executorch_folder() / "data/bin"))
    flatc = bundled or shutil.which("flatc")
    if flatc is None:
        hint = f"pip install --force-reinstall {REQUIREMENTS['executorch']}"
        raise ToolMissing("flatc is missing.", why="It reads ExecuTorch programs.", hint=hint)
    return Path(flatc)


def _convert_to_json(schema: Path, flatbuffers: Sequence[bytes]) -> list[dict[str, Any]]:
    """Convert flatbuffers of one schema to JSON objects with all fields, including defaults.

    Raises:
        _DamagedError: If flatc rejects one of them, crashes, or takes longer than a minute.
    """
    if not flatbuffers:
        return []
    with TemporaryDirectory() as folder:
        binaries = [Path(folder, f"{index}.bin") for index in range(len(flatbuffers))]
        for binary, flatbuffer in zip(binaries, flatbuffers, strict=True):
            binary.write_bytes(flatbuffer)
        options = ["--json", "--strict-json", "--defaults-json", "-o", folder]
        command = [str(_find_flatc()), *options, str(schema), "--", *map(str, binaries)]
        try:
            # In the temporary folder, which also removes the core dump of a crash.
            completed = subprocess.run(
                command, cwd=folder, capture_output=True, timeout=_FLATC_TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise _DamagedError("flatc does not finish") from None
        if completed.returncode:
            raise _DamagedError(f"flatc ended with {completed.returncode}")
        return [
            json.loads(normalize_infinities(binary.with_suffix(".json").read_text(encoding="utf-8")))
            for binary in binaries
        ]


def normalize_infinities(text: str) -> str:
    """Replace flatc's `inf`, the limits of an unbounded clamp, by Python's `Infinity`."""
    return re.sub(r"^(\s*(?:\"\w+\": )?-?)inf(,?)$", r"\1Infinity\2", text, flags=re.MULTILINE)
