"""What a target needs to be installed, which is asked before any work begins."""

from importlib.util import find_spec

from shvit_mobile.contracts.manifest import QualifiedTarget
from shvit_mobile.environments import ENVIRONMENTS
from shvit_mobile.errors import ToolMissing
from shvit_mobile.quiet import build_missing_error

# By target: the libraries that write its artifacts or run them, as in `quiet.REQUIREMENTS`.
_LIBRARIES: dict[QualifiedTarget, tuple[str, ...]] = {
    "coreml": ("coremltools",),
    "executorch": ("executorch",),
    "executorch-coreml": ("executorch", "coremltools"),
    "executorch-vulkan": ("executorch",),
    "onnx": ("onnxruntime",),
    "litert": ("ai_edge_litert",),
    "coreai": ("coreai_torch",),
}


def find_missing_tool(target: QualifiedTarget) -> ToolMissing | None:
    """Return the error about the first library or environment that a target needs and does not find; None if none."""
    for library in _LIBRARIES[target]:
        if find_spec(library) is None:
            return build_missing_error(library, f"The target {target} needs it.")
    if target == "litert":
        try:
            ENVIRONMENTS["litert"].check_installed()
        except ToolMissing as missing:
            return missing
    return None
