"""Runs ExecuTorch artifacts on an emulated ARM64 CPU, in a few processes that share the images out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import EmulatedCPU, Execution
from shvit_mobile.errors import BadArtifact
from shvit_mobile.runtimes.arm64.cpus import CPU, CPUS, DEFAULT_CPU
from shvit_mobile.runtimes.arm64.process import EmulatedProcess
from shvit_mobile.runtimes.arm64.sysroot import open_sysroot
from shvit_mobile.runtimes.executorch import check_contract, load_program
from shvit_mobile.runtimes.runner import check_size, prepare_input


class ARM64Runner:
    """An ExecuTorch artifact on emulated ARM64; a `Runner` and a context manager that ends its processes.

    Attributes:
        how: "emulated", always: the kernels are those of phones, the CPU beneath them is not.
        engine: ExecuTorch, its version, and what is emulated by what.
        cpu: the emulated CPU, with the features that XNNPACK found.
    """

    execution: Execution = "emulated"
    engine: str
    cpu: EmulatedCPU

    def __init__(self, artifact: Artifact, cpu: CPU = CPUS[DEFAULT_CPU], *, processes: int | None = None) -> None:
        """Starts one process and loads the program there; more start when a batch needs them.

        Args:
            artifact: an ExecuTorch artifact.
            cpu: what to emulate.
            processes: at most so many; one a core if None.

        Raises:
            BadArtifact: it is no ExecuTorch artifact, is damaged, or is not what its manifest says.
            ToolMissing: the emulation is not set up, or executorch is not installed.
            EmulatorFailed: it does not run on this CPU.
        """
        if artifact.manifest.target != "executorch":
            raise BadArtifact(
                f"{artifact.path.name} cannot be run on emulated ARM64.",
                why="Only ExecuTorch artifacts (.pte) can.",
                hint="Export one: shvit-mobile export --target executorch",
            )
        self._sysroot = open_sysroot()
        _, method = load_program(artifact.path)  # what is damaged is refused here, in better words
        check_contract(artifact, method.metadata)
        self._artifact, self._cpu = artifact, cpu
        self._most = processes or len(os.sched_getaffinity(0))
        self._processes: list[EmulatedProcess] = []
        self._start_processes(1)
        try:
            features = self._processes[0].handshake.features
        except BaseException:
            self.close()
            raise
        versions = self._sysroot.versions
        self.engine = (
            f"ExecuTorch {versions.executorch} (XNNPACK) on ARM64 {cpu.name}, emulated by qemu {versions.emulator}"
        )
        self.cpu = EmulatedCPU(arch="arm64", name=cpu.name, features=features)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The logits of some images, each in whichever process is free.

        Args:
            pixels: as `Preprocessing.pixels` gives them: uint8, shape (images, height, width, 3).

        Returns:
            float32, shape (images, classes).

        Raises:
            ShapeMismatch: the images are not of the size the artifact takes.
            EmulatorFailed: the program fails, or a process died; the runner is closed then.
        """
        check_size(self._artifact, pixels)
        logits = np.empty((len(pixels), self._artifact.manifest.model.classes), np.float32)
        waiting = iter(range(len(pixels)))
        self._start_processes(min(len(pixels), self._most))
        with ThreadPoolExecutor(self._most) as threads:
            done = [threads.submit(self._run_images, process, waiting, pixels, logits) for process in self._processes]
            try:
                for each in done:
                    each.result()
            except BaseException:
                self.close()  # or the threads would go on to the last image
                raise
        return logits

    def _run_images(
        self, process: EmulatedProcess, waiting: Iterator[int], pixels: NDArray[np.uint8], logits: NDArray[np.float32]
    ) -> None:
        """Answers images of those that no other process has taken, until none is left."""
        for index in waiting:
            values = prepare_input(self._artifact.manifest, pixels[index : index + 1])
            logits[index] = np.frombuffer(process.compute_logits(values.tobytes()), np.float32)

    def _start_processes(self, count: int) -> None:
        """Starts processes until there are `count`; they get ready together."""
        sizes = self._artifact.manifest.input.shape
        new = range(len(self._processes), count)
        self._processes += [EmulatedProcess(self._sysroot, self._cpu, self._artifact.path, sizes) for _ in new]

    def close(self) -> None:
        """Ends the processes."""
        while self._processes:
            self._processes.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
