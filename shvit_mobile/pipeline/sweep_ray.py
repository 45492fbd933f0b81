"""Runs the jobs of a sweep on a Ray cluster; inputs and artifacts travel through Ray's object store."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir, mkdtemp
from typing import Any

from shvit_mobile.contracts.sweep_result import SWEEP_RESULT_FILE, SweepResult
from shvit_mobile.errors import ShvitError, ToolMissing, get_first_line
from shvit_mobile.pipeline.sweep import describe_death
from shvit_mobile.pipeline.sweep_file import SweepJob

# The fields of a job that may be files or folders.
_PATH_FIELDS = ("checkpoint", "calibration", "validation", "labels_csv")
# What a job takes at most: see `sweep._BYTES_PER_JOB`.
_MEMORY = 2 * 1024**3
_CONNECTION_SECONDS = 10


class RayFailed(ShvitError):
    """A Ray cluster that cannot be reached."""


class RayRunner:
    """Runs jobs on a Ray cluster; a `JobRunner`.

    Each job takes one CPU and 2 GiB of memory. Files and folders that the jobs read are sent to the nodes, and the
    folders of their artifacts are sent back, so that nodes need no common file system.
    """

    def __init__(self, address: str, *, runtime_env: Mapping[str, Any] | None = None, retries: int = 3) -> None:
        """Connect to a cluster.

        Args:
            address: Its address, or "auto" for the one that runs on this machine.
            runtime_env: The environment of its workers, as Ray defines it (default: that of its nodes).
            retries: How often a job whose worker or node died is run again.

        Raises:
            ToolMissing: If Ray is not installed.
            RayFailed: If there is no cluster there.
        """
        try:
            import ray
        except ImportError:
            raise ToolMissing(
                "Ray is not installed.",
                why="It runs a sweep on several machines.",
                hint='Run: pip install "shvit-mobile[ray]"',
            ) from None
        self._ray: Any = ray
        self._retries = retries
        if not ray.is_initialized():
            try:
                _check_reachable(address)
                ray.init(
                    address=address, runtime_env=dict(runtime_env or {}), log_to_driver=False, logging_level="ERROR"
                )
            except (ConnectionError, RuntimeError, ValueError, OSError) as reason:
                raise RayFailed(
                    f"There is no Ray cluster at '{address}'.",
                    why=get_first_line(reason),
                    hint="Start one, or give its address.",
                    parameter="ray",
                ) from None

    def run(self, jobs: Sequence[SweepJob], folder: Path) -> Iterator[SweepResult]:
        """See `JobRunner.run`."""
        packed: dict[str, Any] = {}
        remote = self._ray.remote(num_cpus=1, memory=_MEMORY, max_retries=self._retries)(_run_remotely)
        running: dict[Any, SweepJob] = {}
        for job in jobs:
            inputs = self._send_inputs(job, packed)
            # References in a list are fetched in the job; as arguments of their own, they would be copied at once.
            running[remote.remote(job, list(inputs), list(inputs.values()))] = job
        while running:
            (done,), _ = self._ray.wait(list(running), num_returns=1)
            job = running.pop(done)
            try:
                archive = self._ray.get(done)
            except self._ray.exceptions.RayError as reason:
                yield describe_death(job, f"Ray: {get_first_line(reason)}")
                continue
            _unpack_folder(archive, folder / job.name)
            yield SweepResult.load(folder / job.name / SWEEP_RESULT_FILE)

    def _send_inputs(self, job: SweepJob, packed: dict[str, Any]) -> dict[str, Any]:
        """Return a reference to each of a job's files and folders in the object store, by its path here."""
        paths = [path for name in _PATH_FIELDS if (path := getattr(job, name)) and os.path.exists(path)]
        for path in paths:
            if path not in packed:
                packed[path] = self._ray.put(_pack(Path(path)))
        return {path: packed[path] for path in paths}


def _check_reachable(address: str) -> None:
    """Raise `OSError` unless something answers at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "//" not in host:
        socket.create_connection((host, int(port)), timeout=_CONNECTION_SECONDS).close()


def _run_remotely(job: SweepJob, paths: Sequence[str], references: Sequence[Any]) -> bytes:
    """Run a job on a node; return its folder as an archive."""
    import ray

    from shvit_mobile.pipeline.sweep_worker import run_job
    from shvit_mobile.quiet import silence_libraries

    received = {
        path: str(_unpack_once(ray.get(reference), Path(path).name))
        for path, reference in zip(paths, references, strict=True)
    }
    given = {name: getattr(job, name) for name in _PATH_FIELDS}
    here: dict[str, Any] = {name: received[path] for name, path in given.items() if path in received}
    with TemporaryDirectory() as folder, silence_libraries():
        run_job(replace(job, **here), Path(folder) / job.name)
        return _pack(Path(folder) / job.name)


def _pack(path: Path) -> bytes:
    """Return a file or folder as an archive, whose only top-level member has its name."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(path, arcname=path.name)
    return stream.getvalue()


def _unpack_once(archive: bytes, name: str) -> Path:
    """Unpack an archive in a folder that all jobs on this node share, named after its content; return its member."""
    folder = Path(gettempdir()) / f"shvit-sweep-{os.getuid() if hasattr(os, 'getuid') else 0}"
    place = folder / hashlib.sha256(archive).hexdigest()
    if not place.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        part = Path(mkdtemp(dir=folder))
        _extract(archive, part)
        try:
            part.rename(place)
        except OSError:  # another job was faster
            shutil.rmtree(part)
    return place / name


def _unpack_folder(archive: bytes, folder: Path) -> None:
    """Unpack the folder of a job, as a whole or not at all, in place of what an earlier run left."""
    part = Path(mkdtemp(dir=folder.parent))
    try:
        _extract(archive, part)
        shutil.rmtree(folder, ignore_errors=True)
        (part / folder.name).rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _extract(archive: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        opened.extractall(folder, filter="data")
