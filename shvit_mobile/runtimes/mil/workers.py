"""Processes in which a program runs on one image each, for programs that do not take many at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from shvit_mobile.errors import BadArtifact
from shvit_mobile.runtimes.mil.program import ArrayOrTensor, ComputeMode, CoreMLProgram, join_outputs

# The program of a worker process; None in the process that starts them.
_program: CoreMLProgram | None = None


class WorkerPool:
    """A program in processes of its own, each with one thread; a context manager that ends them.

    They start when more than one image comes, and live until `close`, or as long as this object does.
    """

    def __init__(self, program: CoreMLProgram, processes: int | None = None) -> None:
        """
        Args:
            program: the program, which single images are run with.
            processes: how many; one a processor if None.
        """
        self._here = program
        self._pool = ProcessPoolExecutor(
            processes or count_processors(),
            mp_context=get_context("spawn"),  # a fork would inherit torch's threads, without their owners
            initializer=load_worker_program,
            initargs=(program.path, program.mode),
        )

    def __call__(self, inputs: Mapping[str, ArrayOrTensor] | ArrayOrTensor) -> dict[str, Any]:
        """As `CoreMLProgram.__call__`, without an observer.

        Raises:
            BadArtifact: also where a process died.
        """
        named = self._here.name_inputs(inputs)
        images = self._here.count_images(named)
        if images in (None, 1):
            return self._here(named)
        alone = [{name: given[index : index + 1] for name, given in named.items()} for index in range(images or 0)]
        try:
            parts = list(self._pool.map(run_worker, alone))
        except BrokenProcessPool:
            raise BadArtifact(
                f"A process that ran {self._here.path} died.",
                why="The machine ran out of memory, or the script that started it lacks `if __name__ == '__main__':`.",
            ) from None
        return {name: join_outputs([part[name] for part in parts]) for name in self._here.outputs}

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load_worker_program(path: Path, mode: ComputeMode) -> None:
    global _program
    torch.set_num_threads(1)
    _program = CoreMLProgram(path, mode=mode)


def run_worker(image: Mapping[str, ArrayOrTensor]) -> dict[str, Any]:
    if _program is None:
        raise BadArtifact("The process has no program.", why="It was not started by `WorkerPool`.")
    return _program.run_batch(image)


def count_processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
