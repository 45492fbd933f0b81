"""`shvit-mobile demo`: every workflow on the embedded demo model."""

from pathlib import Path
from typing import Annotated

from . import options as opt
from .arguments import drop_none
from .console import print_json, print_note, print_table
from .progress import JobProgress
from .results import collect_sizes, to_artifact_json
from .tables import build_drift_tables


def demo(
    task: opt.Task = None,
    everything: Annotated[
        bool,
        opt.option(
            opt.TARGET_PANEL,
            "Export every target, delegate and precision that can run here, and compare on 100 images (default: the "
            "main ones, on all).",
            "--all",
        ),
    ] = False,
    out: opt.OutFolder = Path("artifacts/demo"),
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Export the embedded demo model, run each artifact, and print its drift from the checkpoint."""
    with JobProgress("Demo") as progress:
        with progress.step("Loading the tools"):
            from shvit_mobile.pipeline.demo import REPORT_FILE, run_demo

        options = drop_none(task=task) | {"everything": everything, "overwrite": overwrite}
        result = run_demo(out, **options, progress=progress.follow)
    if as_json:
        print_json({"artifacts": [to_artifact_json(artifact) for artifact in result.artifacts]})
        return
    for sentence in result.notes:
        print_note(f"note: {sentence}")
    print_table(*build_drift_tables(result.rows, collect_sizes(result.artifacts)))
    print_note(
        f"{out} holds {len(result.artifacts)} artifacts with their manifests, recipes and goldens, and {REPORT_FILE}."
    )
