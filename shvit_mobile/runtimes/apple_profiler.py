"""Compute plans and latency from Core ML itself, on a Mac or a connected iPhone.

On other systems each function returns `SkippedMeasurement` with the command to run on a Mac. The API is that of
coremltools 9.0.
"""

import asyncio
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact, NotSupported, ShvitError, ToolMissing
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
    """A measurement that this machine cannot make: the reason, and the command for a machine that can."""

    reason: str
    command: str

    def __str__(self) -> str:
        return f"skipped: {self.reason}; on a Mac: {self.command}"


@dataclass(frozen=True)
class OperatorPlacement:
    """The device on which Core ML plans to run one operator.

    Attributes:
        operator: The operator's type.
        value: The name of its first result.
        device: "CPU", "GPU" or "Neural Engine"; None if Core ML does not say, as for constants.
        supported: The devices that could run it.
        cost: Core ML's estimate of its share of the program's work, 0 to 1; None if there is none.
    """

    operator: str
    value: str
    device: str | None
    supported: tuple[str, ...]
    cost: float | None


@dataclass(frozen=True)
class CoreMLTiming:
    """Times measured by Core ML, in milliseconds.

    Attributes:
        device: The name and system of the device.
        load: Time of each load.
        predict: Time of each prediction, after one warmup.
    """

    device: str
    load: tuple[float, ...]
    predict: tuple[float, ...]


def load_compute_plan(package: AnyPath) -> tuple[OperatorPlacement, ...] | SkippedMeasurement:
    """Load the device of each operator from `coremltools.models.compute_plan.MLComputePlan`.

    Raises:
        ToolMissing: If coremltools is not installed.
        BadArtifact: If Core ML cannot load the package, or it is not an ML Program.
    """
    if sys.platform != "darwin":
        return SkippedMeasurement("needs macOS", f"shvit-mobile inspect {package} --compute-plan")
    model = load_mlmodel(Path(package))
    from coremltools.models.compute_plan import MLComputePlan

    try:
        plan = MLComputePlan.load_from_path(model.get_compiled_model_path())
    except Exception as reason:  # RuntimeError, ValueError or plain Exception
        raise BadArtifact(f"Core ML cannot make a compute plan of {package}: {reason}") from reason
    program = plan.model_structure.program
    if program is None:
        raise BadArtifact(f"{package} is not an ML Program.", why="Compute plans exist for ML Programs only.")
    return tuple(_read_placement(plan, operation) for operation in _iterate_operations(program.functions["main"].block))


def _iterate_operations(block: Any) -> Iterator[Any]:
    """Yield the operators of a block and of its nested blocks, in order."""
    for operation in block.operations:
        yield operation
        for nested in operation.blocks:
            yield from _iterate_operations(nested)


def _read_placement(plan: Any, operation: Any) -> OperatorPlacement:
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
    """Measure load and prediction times with `coremltools.models.ml_program.experimental.perf_utils`.

    Args:
        package: The package; its inputs are gray images and zeros, since the values do not change the latency.
        device: This Mac, or the first connected iPhone. On the iPhone coremltools builds and starts an app, which needs
            Xcode and an iPhone in developer mode.
        iterations: Number of predictions to measure.

    Raises:
        ToolMissing: If coremltools or Xcode's tools are not installed, or no iPhone is connected.
        NotSupported: If the package takes images and the device is an iPhone.
        BadArtifact: If Core ML cannot load or run the package.
    """
    if sys.platform != "darwin":
        return SkippedMeasurement("needs macOS", f"shvit-mobile benchmark {package} --on-device {device}")
    model = load_mlmodel(Path(package))
    inputs = make_blank_inputs(model.get_spec())
    if device == "iphone" and not all(isinstance(value, np.ndarray) for value in inputs.values()):
        raise NotSupported(
            f"{package} takes images.",
            why="coremltools can send only tensors to an iPhone.",
            hint="Export it again with `input='tensor'`.",
            parameter="device",
        )
    try:
        return asyncio.run(benchmark_model(model, device, inputs, iterations))
    except ShvitError:
        raise
    except Exception as reason:  # plain Exception, ValueError or RuntimeError
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
    """Return the first connected iPhone, from `coremltools.models.ml_program.experimental.remote_device`.

    Raises:
        ToolMissing: If there is none, or Xcode's `devicectl` is not installed.
    """
    with silence_libraries():
        from coremltools.models.ml_program.experimental.remote_device import Device, DeviceType
    try:
        phones = Device.get_connected_devices(DeviceType.IPHONE)
    except ValueError as reason:
        raise ToolMissing(f"shvit-mobile cannot look for an iPhone: {reason}", hint="xcode-select --install") from None
    if not phones:
        raise ToolMissing("No iPhone is connected.", why="Connect one that trusts this Mac and is in developer mode.")
    return phones[0]


def make_blank_inputs(spec: Any) -> dict[str, Any]:
    """Return a gray image or a tensor of zeros for each input.

    coremltools' own random inputs fail for images: it compares the feature's type with the name of its kind.
    """
    inputs: dict[str, Any] = {}
    for feature in spec.description.input:
        if feature.type.WhichOneof("Type") == "imageType":
            image = feature.type.imageType
            inputs[feature.name] = Image.new("RGB", (image.width, image.height), (128, 128, 128))
        else:
            inputs[feature.name] = np.zeros(tuple(feature.type.multiArrayType.shape), np.float32)
    return inputs
