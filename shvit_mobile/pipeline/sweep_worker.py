"""Runs one job of a sweep in a process of its own: `python -m shvit_mobile.pipeline.sweep_worker FOLDER < JOB`.

The job is JSON on the first line of stdin. The process ends when stdin does: then whoever started it is dead.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.contracts.sweep_result import SWEEP_RESULT_FILE, SweepResult
from shvit_mobile.errors import ShvitError
from shvit_mobile.pipeline.export import ExportConfig, ExportJob, export
from shvit_mobile.pipeline.sweep_file import SweepJob
from shvit_mobile.quiet import silence_libraries
from shvit_mobile.targets.executorch import ExecuTorchOptions

# The drift report beside an artifact, where there are images to compare on.
DRIFT_FILE = "drift.json"


def run_job(job: SweepJob, folder: Path) -> SweepResult:
    """Export the artifact of a job into `folder`, with the result beside it.

    An artifact that cannot be exported is a result, too: its error says why.
    """
    begin = monotonic()
    try:
        found = _export(job, folder)
    except ShvitError as reason:
        found = {"status": "failed", "error": " ".join(filter(None, (reason.what, reason.why, reason.hint)))}
    result = SweepResult(**job.describe(), **found, seconds=round(monotonic() - begin, 1))
    folder.mkdir(parents=True, exist_ok=True)
    with write_atomically(folder / SWEEP_RESULT_FILE, overwrite=True) as (part,):
        part.write_text(result.to_json(), encoding="utf-8")
    return result


def _export(job: SweepJob, folder: Path) -> dict[str, Any]:
    options = ExecuTorchOptions(delegate=job.delegate) if job.delegate else None
    calibration: dict[str, Any] = {}
    if job.precision == "int8":
        calibration = {"calibration": job.calibration, "calibration_count": job.calibration_count}
    config = ExportConfig(
        checkpoint=job.checkpoint,
        variant=job.model,
        size=job.size,
        task=job.task,
        jobs=[ExportJob(job.target, job.precision, options)],
        **calibration,
        validation=job.validation,
        validation_count=job.validation_count,
        labels_csv=job.labels_csv,
        labels_coco=job.labels_coco,
        accept_baseline=job.accept_baseline,
        max_drop=job.max_drop,
        min_agreement=job.min_agreement,
        min_box_agreement=job.min_box_agreement,
        min_sqnr=job.min_sqnr,
        report=folder / DRIFT_FILE if job.validation else None,
        out=folder,
        overwrite=True,
    )
    result = export(config)
    (artifact,) = result.artifacts
    manifest = artifact.manifest
    found: dict[str, Any] = {
        "status": "done" if result.passed else "gate failed",
        "error": "" if result.verdict is None else " ".join(result.verdict.violations),
        "artifact": manifest.artifact.name,
        "sha256": manifest.artifact.sha256,
        "bytes": manifest.artifact.bytes,
        "quantized_layers": manifest.inventory.quantized_layers,
    }
    if result.rows:
        row = result.rows[0]
        agreement, precision = row.boxes.agreement if row.boxes else row.agreement, row.average_precision
        found |= {
            "sqnr_db": row.sqnr_db,
            "agreement": agreement and agreement.value,
            "ap": precision and precision.ap,
            "ap_drop": precision and precision.drop,
            "top1": row.top1 and row.top1.value,
            "top1_drop": row.top1_drop,
        }
    return found


def write_job(job: SweepJob) -> str:
    """Return a job as one line of JSON."""
    return json.dumps(asdict(job)) + "\n"


def read_job(line: str) -> SweepJob:
    """Return the job of `write_job`."""
    fields = json.loads(line)
    return SweepJob(**{**fields, "size": fields["size"] and tuple(fields["size"])})


def _die_with_stdin() -> None:
    def wait() -> None:
        with suppress(OSError, ValueError):
            sys.stdin.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    given = read_job(sys.stdin.readline())
    _die_with_stdin()
    with silence_libraries():
        run_job(given, Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # the thread waits for stdin
