"""What a target needs is known before an export begins."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from shvit_mobile import lower, to_deploy_form
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.families.shvit import SHViTConfig
from tests.builders import build_random_shvit, build_trained_model
from tests.partial import link_installation, run_python

PROGRAM = """
import sys
import numpy as np
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from shvit_mobile.targets.tools import find_missing_tool

missing = find_missing_tool("coreml")
assert missing is not None
assert missing.what == "coremltools is here without the libraries that write packages.", missing
assert find_missing_tool("executorch-coreml") is not None
assert find_missing_tool("executorch") is None
outputs = CoreMLProgram(sys.argv[1])(np.zeros((1, 64, 48, 3), np.uint8))
assert all(np.isfinite(values).all() for values in outputs.values() if isinstance(values, np.ndarray))
print(*outputs)
"""


def test_where_coremltools_has_no_wheel_packages_run_and_are_not_written(tmp_path: Path) -> None:
    small = SHViTConfig(dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"))
    deployed = to_deploy_form(build_trained_model(build_random_shvit(small, seed=3), size=(64, 48)))
    artifact = lower(deployed, Recipe(precision="fp32"), "coreml", tmp_path)
    installation = link_installation(tmp_path / "packages", lambda name: not name.startswith("coremltools"))
    folder = Path(str(find_spec("coremltools").origin)).parent  # type: ignore[union-attr]
    (installation / "coremltools").mkdir()
    for entry in folder.iterdir():
        if not entry.match("lib*"):
            (installation / "coremltools" / entry.name).symlink_to(entry)
    done = run_python(installation, "-c", PROGRAM, str(artifact.path), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
