"""What people get by pointing a stock exporter at the same checkpoint: the peers that an artifact is measured against.

Nothing of this project is in them but the architecture: BatchNorms stay for the exporter to fold, the graph is as the
model is written, and the quantizers are those of ExecuTorch and ONNX Runtime with their own defaults.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from shvit_mobile.bench.engines import installed
from shvit_mobile.bench.macs import macs_of
from shvit_mobile.bench.subject import Subject
from shvit_mobile.quiet import quiet


def stock_peers(
    module: nn.Module, images: Sequence[Tensor], folder: Path, source: str, *, batch: int = 1, prefix: str = ""
) -> list[Subject]:
    """Every peer of a model that this machine has the engine for; their files are written into `folder`.

    Args:
        module: in eval mode, float32.
        images: normalised, each of shape (1, 3, height, width), to calibrate int8 on; at least one.
        folder: for the files; it must exist.
        source: of the module itself, as `Subject.source` of a "torch" engine.
        batch: images an inference; ExecuTorch takes part with a batch of one only.
        prefix: of all names.
    """
    shape = (batch, *images[0].shape[1:])
    macs = macs_of(module, (1, *shape[1:]))

    def made(name: str, engine: str, precision: str, where: str) -> Subject:
        return Subject(
            name=f"{prefix}{name}",
            engine=engine,  # type: ignore[arg-type]
            precision=precision,
            source=where,
            shape=shape,
            macs=macs,
        )

    peers = [made("PyTorch", "torch", "fp32", source)]
    if has_compiler():
        peers.append(made("PyTorch compiled", "torch-compile", "fp32", source))
    if batch == 1 and installed("executorch"):
        peers.append(made("ExecuTorch stock fp32", "executorch", "fp32", str(executorch_fp32(module, images, folder))))
        peers.append(made("ExecuTorch stock int8", "executorch", "int8", str(executorch_int8(module, images, folder))))
    fp32 = onnx_fp32(module, shape, folder)
    int8 = onnx_int8(fp32, images, folder)
    peers.append(made("ONNX Runtime stock fp32", "onnxruntime", "fp32", str(fp32)))
    peers.append(made("ONNX Runtime stock int8", "onnxruntime", "int8", str(int8)))
    if installed("openvino"):
        peers.append(made("OpenVINO fp32", "openvino", "fp32", str(fp32)))
        peers.append(made("OpenVINO int8", "openvino", "int8", str(int8)))
    return peers


def executorch_fp32(module: nn.Module, images: Sequence[Tensor], folder: Path) -> Path:
    from shvit_mobile.targets.executorch import lower

    path = folder / "stock-fp32.pte"
    lower(module, tuple(images[0].shape), path)
    return path


def executorch_int8(module: nn.Module, images: Sequence[Tensor], folder: Path) -> Path:
    from shvit_mobile.targets.executorch import lower

    path = folder / "stock-int8.pte"
    with quiet():
        quantized = stock_int8(module, images)
    lower(quantized, tuple(images[0].shape), path)
    return path


def stock_int8(module: nn.Module, images: Sequence[Tensor]) -> nn.Module:
    """`module` through ExecuTorch's XNNPACKQuantizer: static, a scale a channel, its own observers."""
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


def onnx_fp32(module: nn.Module, shape: tuple[int, ...], folder: Path) -> Path:
    """The model through `torch.onnx.export`, which folds BatchNorms itself; by tracing, which needs nothing further."""
    path = folder / "stock-fp32.onnx"
    with quiet(), torch.no_grad():
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


def onnx_int8(fp32: Path, images: Sequence[Tensor], folder: Path) -> Path:
    """The file through ONNX Runtime's own static quantization: QDQ, a scale a channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> dict[str, object] | None:
            image = next(self.left, None)
            return None if image is None else {"images": image.numpy()}

    prepared, path = folder / "prepared.onnx", folder / "stock-int8.onnx"
    with quiet():
        quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(path), Images(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
    return path


def has_compiler() -> bool:
    """Whether torch.compile finds a C++ compiler."""
    return any(shutil.which(name) for name in ("g++", "clang++", "c++"))
