"""A sweep is every combination of its lists; a failure stops nothing, and whatever stops it, the next run continues."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from shvit_mobile.contracts.sweep_result import SWEEP_RESULT_FILE, SweepResult
from shvit_mobile.demo import TEST_BOXES, TEST_SCENES
from shvit_mobile.errors import InvalidConfig, InvalidValue, ToolMissing, UnknownChoice
from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.pipeline.sweep import JOBS_FOLDER, LocalRunner, SweepOutcome, find_result, run_sweep
from shvit_mobile.pipeline.sweep_file import SweepPlan, load_sweep
from shvit_mobile.pipeline.sweep_worker import read_job, write_job
from tests.builders import build_random_shvit, build_trained_model, fit_head, write_picture_folder

EXAMPLES = Path(__file__).parents[2] / "examples"
LABELS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
SWEEP = """
checkpoints = ["tiny.safetensors"]
sizes = ["64x48", "80x64"]
targets = ["onnx"]
precisions = ["fp32", "int8"]
calibration = "pictures"
calibration_count = 7
max_drops = [100]
validation = "pictures"
accept_baseline = true
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, pictures and a sweep file."""
    made = tmp_path_factory.mktemp("sweep")
    write_picture_folder(made / "pictures", count=14, classes=LABELS)
    tiny = replace(build_trained_model(build_random_shvit(), size=(64, 48)), labels=LABELS)
    save_checkpoint(fit_head(tiny, made / "pictures"), made / "tiny.safetensors")
    (made / "sweep.toml").write_text(SWEEP, encoding="utf-8")
    return made


def plan_text(folder: Path, text: str) -> SweepPlan:
    file = folder / "other.toml"
    file.write_text(text, encoding="utf-8")
    return load_sweep(file)


def list_hashes(outcome: SweepOutcome) -> dict[str, str | None]:
    return {result.job: result.sha256 for result in outcome.results}


def test_a_sweep_is_the_product_of_its_lists_without_what_targets_lack(folder: Path) -> None:
    plan = plan_text(
        folder,
        'targets = ["onnx", "executorch"]\ndelegates = ["xnnpack", "coreml"]\nprecisions = ["fp16", "int8"]\n'
        'sizes = ["64", "32x48"]\nmax_drops = [0.5, 2]\n'
        'checkpoints = ["tiny.safetensors", { path = "demo", model = "shvit_s1" }]\n',
    )
    # Of a checkpoint at one size: ONNX int8 with two budgets; of both delegates fp16, and int8 with two budgets.
    assert len(plan.jobs) == 2 * 2 * (2 + 2 * (1 + 2))
    assert len({job.name for job in plan.jobs}) == len(plan.jobs)
    assert [one for one in plan.skipped if "onnx has no fp16" in one] == list(plan.skipped)
    names = [job.name for job in plan.jobs]
    assert "tiny-32x48-executorch-coreml-int8-drop0.5" in names
    first, last = plan.jobs[0], plan.jobs[-1]
    assert first.checkpoint == str(folder / "tiny.safetensors")
    assert (last.checkpoint, last.model) == (None, "shvit_s1")
    assert all(read_job(write_job(job)) == job for job in plan.jobs)


def test_each_task_has_the_labels_gates_and_budgets_that_mean_something_to_it(folder: Path) -> None:
    plan = plan_text(
        folder,
        'targets = ["onnx"]\ntasks = ["classify", "features", "detect"]\nprecisions = ["int8"]\nmax_drops = [0.5]\n'
        'min_agreement = 0.9\nmin_box_agreement = 0.8\nmin_sqnr = 20.0\nlabels_csv = "a.csv"\nlabels_coco = "b.json"\n',
    )
    told = [
        (job.max_drop, job.min_agreement, job.min_box_agreement, job.min_sqnr, job.labels_csv, job.labels_coco)
        for job in plan.jobs
    ]
    assert told == [
        (0.5, 0.9, None, 20.0, "a.csv", None),
        (None, None, None, 20.0, None, None),
        (0.5, None, 0.8, 20.0, None, "b.json"),
    ]


def test_a_detector_has_its_boxes_in_the_table(folder: Path) -> None:
    plan = plan_text(
        folder,
        f'targets = ["onnx"]\ntasks = ["detect"]\nvalidation = "{TEST_SCENES}"\nvalidation_count = 12\n'
        f'labels_coco = "{TEST_BOXES}"\nmin_box_agreement = 0.99\n',
    )
    (result,) = run_sweep(plan, folder / "detector", runner=LocalRunner(1)).results
    assert (result.status, result.error) == ("done", "")
    assert result.agreement == 1
    assert result.ap is not None
    assert result.ap > 30
    assert result.ap_drop == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_sweeps(path: Path) -> None:
    assert load_sweep(path).jobs


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("targets = [", InvalidConfig, "is not TOML"),
        ("targets = []", InvalidConfig, "targets: "),
        ('target = ["onnx"]', InvalidConfig, "Its fields are checkpoints, sizes, tasks, targets"),
        ('targets = ["onnx"]\ntasks = ["segment"]', UnknownChoice, "'segment' is not a task"),
        ('targets = ["onxx"]', UnknownChoice, "'onxx' is not a target"),
        ('targets = ["onnx"]\nprecisions = ["int9"]', UnknownChoice, "'int9' is not a precision"),
        ('targets = ["executorch"]\ndelegates = ["mps"]', UnknownChoice, "'mps' is not a delegate"),
        ('targets = ["onnx"]\nsizes = ["0x7"]', InvalidValue, "A size of `sizes` is '0x7'"),
        ('targets = ["onnx"]\nprecisions = ["fp16"]', InvalidValue, "The sweep has no jobs"),
    ],
)
def test_a_mistake_in_the_file_is_named(folder: Path, text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as refusal:
        plan_text(folder, text)
    assert said in str(refusal.value)


def test_the_key_of_a_job_changes_with_its_options_and_the_checkpoint_but_not_its_name(folder: Path) -> None:
    job = load_sweep(folder / "sweep.toml").jobs[0]
    key = job.compute_key()
    assert replace(job, name="other").compute_key() == key
    assert replace(job, size=(64, 64)).compute_key() != key
    copy = folder / "copy.safetensors"
    copy.write_bytes(Path(job.checkpoint or "").read_bytes())
    assert replace(job, checkpoint=str(copy)).compute_key() == key
    copy.write_bytes(b"another")
    assert replace(job, checkpoint=str(copy)).compute_key() != key


@pytest.fixture(scope="module")
def whole(folder: Path) -> SweepOutcome:
    """A sweep that nothing interrupted."""
    return run_sweep(load_sweep(folder / "sweep.toml"), folder / "whole", runner=LocalRunner(2))


def test_every_job_leaves_an_artifact_its_drift_and_a_row(whole: SweepOutcome) -> None:
    assert whole.passed
    assert whole.reused == 0
    with whole.table.open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["job"] for row in rows] == [result.job for result in whole.results]
    assert {row["size"] for row in rows} == {"64x48", "80x64"}
    for row in rows:
        artifact = whole.table.parent / JOBS_FOLDER / row["job"] / row["artifact"]
        assert artifact.stat().st_size == int(row["bytes"])
        assert (float(row["sqnr_db"]) > 60) == (row["precision"] == "fp32")
        assert (row["quantized_layers"] == "0") == (row["precision"] == "fp32")
    assert whole.page is not None
    page = whole.page.read_text(encoding="utf-8")
    assert all(row["artifact"] in page for row in rows)


def test_what_is_done_is_not_done_again_and_what_has_changed_is(folder: Path, whole: SweepOutcome) -> None:
    plan = load_sweep(folder / "sweep.toml")
    again = run_sweep(plan, folder / "whole", runner=LocalRunner(1))
    assert again.reused == len(plan.jobs)
    assert again.results == whole.results
    job, jobs = plan.jobs[0], folder / "whole" / JOBS_FOLDER
    assert find_result(job, jobs) is not None
    assert find_result(replace(job, calibration_count=3), jobs) is None
    artifact = jobs / job.name / str(whole.results[0].artifact)
    original = artifact.read_bytes()
    artifact.write_bytes(original[:-1] + b"x")
    assert find_result(job, jobs) is None
    artifact.write_bytes(original)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on Windows")
def test_a_killed_sweep_leaves_no_process_and_continues_to_the_same_bytes(folder: Path, whole: SweepOutcome) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from shvit_mobile.pipeline.sweep import LocalRunner, run_sweep\n"
        "from shvit_mobile.pipeline.sweep_file import load_sweep\n"
        "if __name__ == '__main__': run_sweep(load_sweep(Path(sys.argv[1])), sys.argv[2], runner=LocalRunner(1))\n"
    )
    out = folder / "killed"
    process = subprocess.Popen([sys.executable, "-c", program, folder / "sweep.toml", out])
    deadline = time.monotonic() + 240
    while not list(out.glob(f"{JOBS_FOLDER}/*/{SWEEP_RESULT_FILE}")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.wait()
    while list_workers(out):
        assert time.monotonic() < deadline, "a job outlives its sweep"
        time.sleep(0.1)
    outcome = run_sweep(load_sweep(folder / "sweep.toml"), out, runner=LocalRunner(1))
    assert 1 <= outcome.reused < len(outcome.results)
    assert list_hashes(outcome) == list_hashes(whole)


def list_workers(out: Path) -> list[str]:
    """Return the commands of processes that run a job in a folder."""
    listed = subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, encoding="utf-8", check=True
    ).stdout.splitlines()
    return [line for line in listed if "sweep_worker" in line and str(out) in line]


def test_feature_maps_are_swept_beside_classifiers(folder: Path) -> None:
    plan = plan_text(
        folder,
        'checkpoints = ["tiny.safetensors"]\ntargets = ["onnx"]\ntasks = ["classify", "features"]\nmin_sqnr = 60\n'
        'validation = "pictures"\n',
    )
    assert [job.name for job in plan.jobs] == ["tiny-onnx-fp32", "tiny-features-onnx-fp32"]
    outcome = run_sweep(plan, folder / "features", runner=LocalRunner(2))
    assert [result.error for result in outcome.results] == ["", ""]
    classifier, maps = outcome.results
    assert (classifier.task, maps.task) == ("classify", "features")
    assert maps.agreement is None
    assert maps.sqnr_db is not None
    assert maps.sqnr_db > 60


def test_a_job_that_fails_does_not_stop_the_others_and_is_tried_again(folder: Path, whole: SweepOutcome) -> None:
    plan = plan_text(folder, 'checkpoints = ["none.pth", "tiny.safetensors"]\ntargets = ["onnx"]\n')
    seen: list[SweepResult] = []
    outcome = run_sweep(plan, folder / "failing", runner=LocalRunner(2), on_result=seen.append)
    failed, done = outcome.results
    assert (failed.status, done.status) == ("failed", "done")
    assert "none.pth" in failed.error
    assert not outcome.passed
    assert {result.job for result in seen} == {failed.job, done.job}
    again = run_sweep(plan, folder / "failing", runner=LocalRunner(1))
    assert (again.reused, again.results[0].status) == (1, "failed")


def test_a_job_whose_process_dies_is_run_again_and_then_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_text(folder, 'checkpoints = ["tiny.safetensors"]\ntargets = ["onnx"]\n')
    killer = folder / "killer"
    killer.mkdir()
    # Python imports it at its start: it kills the first process, later all.
    (killer / "sitecustomize.py").write_text(
        "import os, pathlib, sys\n"
        f"mark = pathlib.Path({str(killer / 'mark')!r})\n"
        "if 'sweep_worker' in ' '.join(sys.orig_argv) and not (mark.exists() and 'ONCE' in os.environ):\n"
        "    mark.touch(); os.kill(os.getpid(), 9)\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(killer), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("ONCE", "1")
    assert run_sweep(plan, folder / "revived", runner=LocalRunner(1)).passed
    monkeypatch.delenv("ONCE")
    (given_up,) = run_sweep(plan, folder / "given-up", runner=LocalRunner(1)).results
    assert given_up.status == "failed"
    assert "Its process ended with status -9" in given_up.error


def test_a_table_of_another_kind_is_refused_before_anything_runs(folder: Path, tmp_path: Path) -> None:
    plan = load_sweep(folder / "sweep.toml")
    with pytest.raises(InvalidValue, match=r"A table is \.csv or \.parquet"):
        run_sweep(plan, tmp_path / "out", table=tmp_path / "table.xlsx")
    assert not (tmp_path / "out").exists()


def test_parquet_has_the_same_rows(folder: Path, whole: SweepOutcome, tmp_path: Path) -> None:
    plan, table = load_sweep(folder / "sweep.toml"), tmp_path / "table.parquet"
    try:
        import pyarrow.parquet
    except ImportError:
        with pytest.raises(ToolMissing, match="pyarrow is not installed"):
            run_sweep(plan, folder / "whole", table=table)
        return
    run_sweep(plan, folder / "whole", table=table)
    rows = pyarrow.parquet.read_table(table).to_pylist()
    assert [row["sha256"] for row in rows] == [result.sha256 for result in whole.results]
