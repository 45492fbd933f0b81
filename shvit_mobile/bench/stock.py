"""Exports a model with stock exporters and quantizers, as peers of this project's artifacts.

The peers use the model as it is written: exporters fold BatchNorms themselves, and quantizers keep their defaults.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from shvit_mobile.bench.contestant import BenchmarkSubject, Engine
from shvit_mobile.bench.engines import is_installed
from shvit_mobile.bench.macs import count_macs
from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.environments import ENVIRONMENTS
from shvit_mobile.errors import BenchmarkFailed
from shvit_mobile.processes import get_last_line
from shvit_mobile.quiet import silence_libraries

_ONNX_ENGINES: tuple[Engine, ...] = ("onnxruntime", "openvino", "mnn")


def export_stock_peers(
    module: nn.Module,
    images: Sequence[Tensor],
    folder: Path,
    source: str,
    *,
    batch: int = 1,
    engines: Sequence[Engine] = (),
    prefix: str = "",
) -> list[BenchmarkSubject]:
    """Export every peer of a model whose engine is installed.

    Args:
        module: The model, in eval mode and float32.
        images: At least one normalized image of shape (1, 3, height, width), to calibrate int8.
        folder: An existing folder for the files.
        source: The source of the module for "torch" engines, as in `BenchmarkSubject`.
        batch: Images per inference (default: 1); ExecuTorch only takes a batch of 1.
        engines: The engines to use (default: all that are installed).
        prefix: A prefix of all names.
    """
    shape = (batch, *images[0].shape[1:])
    macs = count_macs(module, (1, *shape[1:]))
    peers: list[BenchmarkSubject] = []

    def add(name: str, engine: Engine, precision: str, where: str | Path, dtype: str = "float32") -> None:
        peers.append(BenchmarkSubject(f"{prefix}{name}", engine, precision, str(where), shape, dtype, macs=macs))

    def wanted(engine: Engine) -> bool:
        return (not engines or engine in engines) and is_installed(engine)

    if wanted("torch"):
        add("PyTorch", "torch", "fp32", source)
    if wanted("torch-compile") and _has_compiler():
        add("PyTorch compiled", "torch-compile", "fp32", source)
    if wanted("executorch") and batch == 1:
        for precision in ("fp32", "int8"):
            path = export_xnnpack(module, images, folder / f"stock-{precision}.pte", precision)
            add(f"ExecuTorch stock {precision}", "executorch", precision, path)
    if wanted("litert") and ENVIRONMENTS["litert"].is_installed:
        tflite, quantized = export_litert(module, images, shape, folder)
        add("LiteRT fp32", "litert", "fp32", tflite)
        add("LiteRT int8", "litert", "int8", quantized, "int8")
    if not any(wanted(engine) for engine in _ONNX_ENGINES):
        return peers
    fp32 = export_onnx_fp32(module, shape, folder)
    if wanted("onnxruntime") or wanted("openvino"):
        int8 = quantize_onnx(fp32, images, folder)
    if wanted("onnxruntime"):
        add("ONNX Runtime stock fp32", "onnxruntime", "fp32", fp32)
        add("ONNX Runtime stock int8", "onnxruntime", "int8", int8)
    if wanted("openvino"):
        add("OpenVINO fp32", "openvino", "fp32", fp32)
        add("OpenVINO int8", "openvino", "int8", int8)
    if wanted("mnn"):
        add("MNN fp32", "mnn", "fp32", _convert_to_mnn(fp32, 0))
        add("MNN 8-bit weights", "mnn", "int8-weights", _convert_to_mnn(fp32, 8))
    return peers


def export_xnnpack(module: nn.Module, images: Sequence[Tensor], path: Path, precision: str) -> Path:
    """Export to ExecuTorch in fp32, or statically quantized to int8 by the stock quantizer."""
    from shvit_mobile.targets.executorch import lower_to_program

    if precision == "int8":
        with silence_libraries():
            module = _quantize_with_xnnpack(module, images)
    lower_to_program(module, tuple(images[0].shape), path)
    return path


def _quantize_with_xnnpack(module: nn.Module, images: Sequence[Tensor]) -> nn.Module:
    """Quantize with ExecuTorch's XNNPACKQuantizer: static, per channel, with its own observers."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    with torch.no_grad():
        prepared = prepare_pt2e(torch.export.export(module, (images[0],)).module(), quantizer)
        for image in images:
            prepared(image)
        converted: nn.Module = convert_pt2e(prepared)
    return converted


def export_onnx_fp32(module: nn.Module, shape: tuple[int, ...], folder: Path) -> Path:
    """Export with the tracing exporter of `torch.onnx.export`, which folds BatchNorms itself."""
    path = folder / "stock-fp32.onnx"
    with silence_libraries(), torch.no_grad():
        torch.onnx.export(
            module,
            (torch.zeros(shape),),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["images"],
            output_names=["logits"],
        )
    return path


def quantize_onnx(fp32: Path, images: Sequence[Tensor], folder: Path) -> Path:
    """Quantize with ONNX Runtime: static, QDQ, per channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> dict[str, object] | None:
            image = next(self.left, None)
            return None if image is None else {"images": image.numpy()}

    prepared, path = folder / "prepared.onnx", folder / "stock-int8.onnx"
    with silence_libraries():
        quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(path), Images(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
    return path


def _convert_to_mnn(onnx: Path, bits: int) -> Path:
    """Convert with MNN's converter; with `bits`, its weights are stored in this number of bits.

    It runs in its own process, without the package's Python wrapper, which installs a telemetry library on import.
    """
    path = onnx.with_name(f"stock-{bits}.mnn")
    options = ["-f", "ONNX", "--modelFile", str(onnx), "--MNNModel", str(path), "--bizCode", "peer"]
    if bits:
        options += ["--weightQuantBits", str(bits)]
    program = "import sys, _tools; _tools.mnnconvert(sys.argv)"
    subprocess.run([sys.executable, "-c", program, *options], check=True, capture_output=True)
    return path


def export_litert(
    module: nn.Module, images: Sequence[Tensor], shape: tuple[int, ...], folder: Path
) -> tuple[Path, Path]:
    """Export with LiteRT's converter, and quantize with AI Edge Quantizer's recipe for static int8.

    Returns:
        The files in fp32 and int8.

    Raises:
        ToolMissing: If the environment `litert` is not installed.
        BenchmarkFailed: If one of the tools fails.
    """
    program, values = folder / "stock.pt2", folder / "stock-images.npy"
    fp32, int8 = folder / "stock-fp32.tflite", folder / "stock-int8.tflite"
    with silence_libraries():
        torch.export.save(export_model(module, torch.zeros(shape)), program)
    np.save(values, np.stack([image.numpy() for image in images]))
    files = (str(path) for path in (program, values, fp32, int8))
    completed = ENVIRONMENTS["litert"].run([str(Path(__file__).with_name("litert_stock.py")), *files])
    if completed.returncode != 0:
        raise BenchmarkFailed("LiteRT's tools cannot export the model.", why=get_last_line(completed.stderr))
    return fp32, int8


def _has_compiler() -> bool:
    """Return whether torch.compile finds a C++ compiler."""
    return any(shutil.which(name) for name in ("g++", "clang++", "c++"))
