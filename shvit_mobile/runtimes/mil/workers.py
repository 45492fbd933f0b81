"""Worker processes that run one image each, for programs that cannot run many at once."""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from shvit_mobile.errors import BadArtifact
from shvit_mobile.processes import count_processors, die_with_parent, shield_children
from shvit_mobile.runtimes.mil.program import ArrayOrTensor, ComputeMode, CoreMLProgram, join_outputs

# The program of a worker process; None in the main process.
_program: CoreMLProgram | None = None


class WorkerPool:
    """Worker processes with one thread each.

    They start when more than one image comes, and live until `close` or the end of this object.
    """

    def __init__(self, program: CoreMLProgram, processes: int | None = None) -> None:
        """Prepare the pool.

        Args:
            program: The program; it runs single images in this process.
            processes: The number of processes (default: one per processor).
        """
        self._program = program
        self._pool = ProcessPoolExecutor(
            processes or count_processors(),
            mp_context=get_context("spawn"),  # a fork would inherit torch's locks without its threads
            initializer=_load_worker_program,
            initargs=(program.path, program.mode, program.function),
        )

    def __call__(self, inputs: Mapping[str, ArrayOrTensor] | ArrayOrTensor) -> dict[str, Any]:
        """Run the program like `CoreMLProgram.__call__`, without an observer.

        Raises:
            BadArtifact: Also if a process dies.
        """
        named = self._program.name_inputs(inputs)
        images = self._program.count_images(named)
        if images in (None, 1):
            return self._program(named)
        single = [{name: array[index : index + 1] for name, array in named.items()} for index in range(images or 0)]
        try:
            with shield_children():
                running = self._pool.map(_run_worker, single)
            parts = list(running)
        except BrokenProcessPool:
            raise BadArtifact(
                f"A process that ran {self._program.path} died.",
                why="The machine ran out of memory, or the script that started it lacks `if __name__ == '__main__':`.",
            ) from None
        return {name: join_outputs([part[name] for part in parts]) for name in self._program.outputs}

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _load_worker_program(path: Path, mode: ComputeMode, function: str | None) -> None:
    global _program
    die_with_parent()
    torch.set_num_threads(1)
    _program = CoreMLProgram(path, mode=mode, function=function)


def _run_worker(image: Mapping[str, ArrayOrTensor]) -> dict[str, Any]:
    if _program is None:
        raise BadArtifact("The process has no program.", why="`WorkerPool` did not start it.")
    return _program.run_batch(image)
