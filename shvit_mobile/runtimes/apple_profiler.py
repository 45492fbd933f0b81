"""What only Apple's systems can tell of a package: where its operators run, and how long it takes there.

Elsewhere each of these answers with `SkippedMeasurement` and the command to run on a Mac. All names of coremltools are of 9.0.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact, InvalidConfig, ShvitError, ToolMissing
from shvit_mobile.quiet import silence_libraries
from shvit_mobile.runtimes.coreml import load_mlmodel

AppleDevice = Literal["mac", "iphone"]
APPLE_DEVICES: tuple[AppleDevice, ...] = ("mac", "iphone")
COMPUTE_DEVICES = {
    "MLCPUComputeDevice": "CPU",
    "MLGPUComputeDevice": "GPU",
    "MLNeuralEngineComputeDevice": "Neural Engine",
}


@dataclass(frozen=True)
class SkippedMeasurement:
    """Something that this machine cannot do: the reason, and the command that does it where it can be done."""

    reason: str
    command: str

    def __str__(self) -> str:
        return f"skipped: {self.reason}; there: {self.command}"


@dataclass(frozen=True)
class OperatorPlacement:
    """Where Core ML means to run one operator.

    Attributes:
        operator: its kind.
        value: the name of its first result.
        device: "CPU", "GPU" or "Neural Engine"; None where Core ML does not say, as of constants.
        supported: the devices that could run it.
        cost: its share of the whole program's work, 0 to 1, as Core ML estimates it; None where it does not.
    """

    operator: str
    value: str
    device: str | None
    supported: tuple[str, ...]
    cost: float | None


@dataclass(frozen=True)
class CoreMLTiming:
    """Core ML's own times, in milliseconds.

    Attributes:
        device: the name and system of the device.
        load: of each loading.
        predict: of each prediction, after one that does not count.
    """

    device: str
    load: tuple[float, ...]
    predict: tuple[float, ...]


def load_compute_plan(package: AnyPath) -> tuple[OperatorPlacement, ...] | SkippedMeasurement:
    """The device of each operator, from `coremltools.models.compute_plan.MLComputePlan`.

    Raises:
        ToolMissing: coremltools is not installed.
        BadArtifact: Core ML cannot load the package, or it is not an ML Program.
    """
    if sys.platform != "darwin":
        return SkippedMeasurement("needs macOS", f"shvit-mobile inspect {package} --compute-plan")
    model = load_mlmodel(Path(package))
    from coremltools.models.compute_plan import MLComputePlan

    try:
        plan = MLComputePlan.load_from_path(model.get_compiled_model_path())
    except Exception as reason:  # it comes as RuntimeError, ValueError and plain Exception
        raise BadArtifact(f"Core ML makes no compute plan of {package}: {reason}") from reason
    program = plan.model_structure.program
    if program is None:
        raise BadArtifact(f"{package} is not an ML Program.", why="Only of those are operators told.")
    return tuple(read_placement(plan, operation) for operation in iterate_operations(program.functions["main"].block))


def iterate_operations(block: Any) -> Iterator[Any]:
    """The operators of a block and of the blocks inside them, in order."""
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from iterate_operations(inner)


def read_placement(plan: Any, operation: Any) -> OperatorPlacement:
    usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
    cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
    return OperatorPlacement(
        operator=operation.operator_name,
        value=operation.outputs[0].name if operation.outputs else "",
        device=format_device_names([usage.preferred_compute_device])[0] if usage else None,
        supported=format_device_names(usage.supported_compute_devices) if usage else (),
        cost=cost.weight if cost else None,
    )


def format_device_names(devices: Iterable[Any]) -> tuple[str, ...]:
    return tuple(COMPUTE_DEVICES.get(type(device).__name__, type(device).__name__) for device in devices)


def measure_on_device(
    package: AnyPath, device: AppleDevice, *, iterations: int = 50
) -> CoreMLTiming | SkippedMeasurement:
    """How long loading and prediction take, from `coremltools.models.ml_program.experimental.perf_utils`.

    Args:
        package: its pictures are grey, its tensors zeros: what they hold changes no latency.
        device: this Mac, or the first connected iPhone, on which coremltools builds and starts an app; that takes
            Xcode and an iPhone in developer mode.
        iterations: predictions that count.

    Raises:
        ToolMissing: coremltools or Xcode's tools are not installed, or no iPhone is connected.
        InvalidConfig: an iPhone is asked for a package that takes pictures; coremltools sends it tensors only.
        BadArtifact: Core ML cannot load or run the package.
    """
    if sys.platform != "darwin":
        return SkippedMeasurement("needs macOS", f"shvit-mobile benchmark {package} --on-device {device}")
    model = load_mlmodel(Path(package))
    inputs = make_blank_inputs(model.get_spec())
    if device == "iphone" and not all(isinstance(value, np.ndarray) for value in inputs.values()):
        raise InvalidConfig(
            f"{package} takes pictures.",
            why="coremltools sends tensors only to an iPhone.",
            hint='Lower it with CoreMLOptions(input="tensor").',
        )
    try:
        return asyncio.run(benchmark_model(model, device, inputs, iterations))
    except ShvitError:
        raise
    except Exception as reason:  # Core ML's and devicectl's failures come as plain Exception, ValueError, RuntimeError
        raise BadArtifact(f"Core ML cannot measure {package} on the {device}: {reason}") from reason


async def benchmark_model(model: Any, device: AppleDevice, inputs: dict[str, Any], iterations: int) -> CoreMLTiming:
    from coremltools.models.ml_program.experimental.perf_utils import MLModelBenchmarker

    phone = None
    if device == "iphone":
        phone = await find_connected_iphone().prepare_for_model_debugging()
    benchmarker = MLModelBenchmarker(model, device=phone)
    load = await benchmarker.benchmark_load(iterations=3)
    predict = await benchmarker.benchmark_predict(inputs=inputs, iterations=iterations, warmup=True)
    name = f"{phone.name}, iOS {phone.os_version}" if phone else "this Mac"
    return CoreMLTiming(name, tuple(load.samples), tuple(predict.samples))


def find_connected_iphone() -> Any:
    """The first connected iPhone, by `coremltools.models.ml_program.experimental.remote_device`.

    Raises:
        ToolMissing: there is none, or Xcode's `devicectl` is not installed.
    """
    with silence_libraries():
        from coremltools.models.ml_program.experimental.remote_device import Device, DeviceType
    try:
        phones = Device.get_connected_devices(DeviceType.IPHONE)
    except ValueError as reason:
        raise ToolMissing(f"No iPhone can be looked for: {reason}", hint="xcode-select --install") from None
    if not phones:
        raise ToolMissing("No iPhone is connected.", why="It must be plugged in, trusted and in developer mode.")
    return phones[0]


def make_blank_inputs(spec: Any) -> dict[str, Any]:
    """A grey picture or a tensor of zeros for each input.

    coremltools' own random inputs fail for pictures: it compares the feature's type with the name of its kind.
    """
    inputs: dict[str, Any] = {}
    for feature in spec.description.input:
        if feature.type.WhichOneof("Type") == "imageType":
            image = feature.type.imageType
            inputs[feature.name] = Image.new("RGB", (image.width, image.height), (128, 128, 128))
        else:
            inputs[feature.name] = np.zeros(tuple(feature.type.multiArrayType.shape), np.float32)
    return inputs
