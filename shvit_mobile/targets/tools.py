"""What a target needs to be installed, which is asked before any work begins."""

import platform
from importlib.util import find_spec
from pathlib import Path

from shvit_mobile.contracts.manifest import QualifiedTarget
from shvit_mobile.environments import ENVIRONMENTS
from shvit_mobile.errors import ToolMissing
from shvit_mobile.quiet import build_missing_error

_ONNX = ("onnx", "onnx_ir", "onnxscript")
# By target: the libraries that write its artifacts or run them, as in `quiet.REQUIREMENTS`.
_LIBRARIES: dict[QualifiedTarget, tuple[str, ...]] = {
    "coreml": ("coremltools",),
    "executorch": ("executorch",),
    "executorch-coreml": ("executorch", "coremltools"),
    "executorch-vulkan": ("executorch",),
    "onnx": (*_ONNX, "onnxruntime"),
    "litert": (*_ONNX, "ai_edge_litert", "scipy"),
    "coreai": ("coreai_torch",),
}
# What coremltools writes packages with.
COREML_WRITER_LIBRARIES = ("libmilstoragepython", "libmodelpackage")


def find_missing_tool(target: QualifiedTarget) -> ToolMissing | None:
    """Return the error about the first library or environment that a target needs and does not find; None if none."""
    for library in _LIBRARIES[target]:
        if find_spec(library) is None:
            return build_missing_error(library, f"The target {target} needs it.")
    if "coremltools" in _LIBRARIES[target] and not has_coreml_writer():
        return ToolMissing(
            "coremltools is here without the libraries that write packages.",
            why=f"It has them for macOS and for Linux on x86-64; this is {platform.system()} on {platform.machine()}.",
            hint="Export on one of those. Every other command takes the package here, too.",
        )
    if target == "litert":
        try:
            ENVIRONMENTS["litert"].check_installed()
        except ToolMissing as missing:
            return missing
    return None


def has_coreml_writer() -> bool:
    """Return whether coremltools has the libraries that write packages; where it has no wheel, pip builds it without.

    coremltools is not imported, which takes seconds.
    """
    spec = find_spec("coremltools")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    return folder is not None and all(any(folder.glob(f"{name}.*")) for name in COREML_WRITER_LIBRARIES)
