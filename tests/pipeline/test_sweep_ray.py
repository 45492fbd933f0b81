"""A Ray cluster makes the same bytes as this machine alone, also when a node is killed midway."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shvit_mobile.pipeline.sweep import JOBS_FOLDER, LocalRunner, run_sweep
from shvit_mobile.pipeline.sweep_file import load_sweep
from shvit_mobile.pipeline.sweep_ray import RayFailed, RayRunner, _pack, _unpack_folder
from tests.pipeline.test_sweep import folder, list_hashes  # noqa: F401  a fixture

SWEEP = """
checkpoints = ["tiny.safetensors"]
sizes = ["64x48", "80x64"]
targets = ["onnx", "coreml"]
precisions = ["fp32"]
"""


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without CPUs, and two nodes with one each."""
    import ray
    from ray.cluster_utils import Cluster

    memory = 3 * 1024**3
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        started.add_node(num_cpus=1, memory=memory)
    yield started
    ray.shutdown()
    started.shutdown()


def test_a_killed_node_changes_no_byte(folder: Path, cluster: Any) -> None:  # noqa: F811
    (folder / "ray.toml").write_text(SWEEP, encoding="utf-8")
    plan = load_sweep(folder / "ray.toml")
    here = run_sweep(plan, folder / "here", runner=LocalRunner(2))
    out = folder / "there"
    first, second = sorted(cluster.worker_nodes, key=id)
    killed = threading.Event()

    def kill_node() -> None:
        while not list(out.glob(f"{JOBS_FOLDER}/*")):
            time.sleep(0.1)
        cluster.remove_node(first, allow_graceful=False)
        killed.set()

    threading.Thread(target=kill_node, daemon=True).start()
    there = run_sweep(plan, out, runner=RayRunner(cluster.address))
    assert killed.wait(60)
    assert set(cluster.worker_nodes) == {second}
    assert [result.error for result in there.results if result.status != "done"] == []
    assert list_hashes(there) == list_hashes(here)
    assert there.page is not None
    again = run_sweep(plan, out, runner=LocalRunner(1))
    assert again.reused == len(plan.jobs)


def test_a_cluster_that_is_not_there_is_told() -> None:
    with pytest.raises(RayFailed, match="There is no Ray cluster at") as refusal:
        RayRunner("127.0.0.1:1")
    assert refusal.value.parameter == "ray"


def test_folders_come_out_of_an_archive_as_they_went_in_and_nothing_leaves_it(tmp_path: Path) -> None:
    source = tmp_path / "job"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "file").write_bytes(b"content")
    (tmp_path / "out").mkdir()
    _unpack_folder(_pack(source), tmp_path / "out" / "job")
    assert (tmp_path / "out" / "job" / "inner" / "file").read_bytes() == b"content"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["job"]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    with pytest.raises(tarfile.TarError):
        _unpack_folder(stream.getvalue(), tmp_path / "out" / "job")
    assert not (tmp_path / "outside").exists()
    assert (tmp_path / "out" / "job" / "inner" / "file").exists()
