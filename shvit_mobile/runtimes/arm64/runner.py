"""Run ExecuTorch artifacts on an emulated ARM64 CPU, in processes that share the images."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import EmulatedCPU, Execution
from shvit_mobile.errors import BadArtifact
from shvit_mobile.processes import count_processors
from shvit_mobile.runtimes.arm64.cpus import CPU, CPUS, DEFAULT_CPU
from shvit_mobile.runtimes.arm64.process import EmulatedProcess, EmulatorFailed
from shvit_mobile.runtimes.arm64.sysroot import open_sysroot
from shvit_mobile.runtimes.executorch import check_contract, load_program
from shvit_mobile.runtimes.runner import allocate_outputs, check_size, prepare_input, select_logits, split_outputs
from shvit_mobile.targets.capabilities import needs_fp16_arithmetic


class ARM64Runner:
    """An ExecuTorch artifact on an emulated ARM64 CPU; a `Runner` and a context manager that ends its processes.

    Attributes:
        execution: "emulated": the kernels are those of phones, the CPU is not.
        engine: ExecuTorch, the emulated CPU and the emulator, with versions.
        cpu: The emulated CPU with the features that XNNPACK found.
    """

    execution: Execution = "emulated"
    engine: str
    cpu: EmulatedCPU

    def __init__(self, artifact: Artifact, cpu: CPU = CPUS[DEFAULT_CPU], *, processes: int | None = None) -> None:
        """Start one process and load the program there; more start when a batch needs them.

        Args:
            artifact: An ExecuTorch artifact.
            cpu: The CPU to emulate.
            processes: The largest number of processes (default: one per processor).

        Raises:
            BadArtifact: If it is not an ExecuTorch artifact, is damaged, or differs from its manifest.
            ToolMissing: If the emulator is not set up, or executorch is not installed.
            EmulatorFailed: If it does not run on this CPU.
        """
        check_emulated(artifact, cpu)
        self._sysroot = open_sysroot()
        _, method = load_program(artifact.path)  # its errors are clearer than the emulated process's
        check_contract(artifact, method.metadata)
        self._artifact, self._cpu = artifact, cpu
        self._max_processes = processes or count_processors()
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
        """Compute the logits of images; see `Runner.run`."""
        return select_logits(self._artifact, self.run_outputs(pixels))

    def run_outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Compute the outputs of images, each image in the next free process; see `Runner.run_outputs`.

        Raises:
            EmulatorFailed: If the program fails, or a process dies; the runner is then closed.
        """
        check_size(self._artifact, pixels)
        outputs = allocate_outputs(self._artifact.manifest, len(pixels))
        waiting = iter(range(len(pixels)))
        self._start_processes(min(len(pixels), self._max_processes))
        with ThreadPoolExecutor(self._max_processes) as threads:
            jobs = [threads.submit(self._run_images, process, waiting, pixels, outputs) for process in self._processes]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                self.close()  # otherwise the threads continue to the last image
                raise
        return outputs

    def _run_images(
        self,
        process: EmulatedProcess,
        waiting: Iterator[int],
        pixels: NDArray[np.uint8],
        outputs: dict[str, NDArray[np.float32]],
    ) -> None:
        """Run images that no other process has taken, until none is left."""
        for index in waiting:
            values = prepare_input(self._artifact.manifest, pixels[index : index + 1])
            computed = split_outputs(self._artifact.manifest, process.compute_outputs(values.tobytes()))
            for whole, part in zip(outputs.values(), computed, strict=True):
                whole[index] = part

    def _start_processes(self, count: int) -> None:
        """Start processes until there are `count`; they get ready in parallel."""
        sizes = self._artifact.manifest.input.shape
        new = range(len(self._processes), count)
        self._processes += [EmulatedProcess(self._sysroot, self._cpu, self._artifact.path, sizes) for _ in new]

    def close(self) -> None:
        """End the processes."""
        while self._processes:
            self._processes.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_emulated(artifact: Artifact, *cpus: CPU) -> None:
    """Raise `BadArtifact` unless an artifact is an ExecuTorch program for XNNPACK.

    Raises:
        EmulatorFailed: If it does not load on one of the CPUs.
    """
    if artifact.manifest.delegate != "xnnpack":
        raise BadArtifact(
            f"{artifact.path.name} cannot run on the emulated ARM64 CPU.",
            why="Only ExecuTorch artifacts (.pte) for XNNPACK can.",
            hint="Export one with `target='executorch'`.",
        )
    for cpu in cpus:
        if needs_fp16_arithmetic(artifact.manifest) and "fp16" in cpu.hidden:
            raise EmulatorFailed(
                f"{artifact.path.name} does not run on the CPU {cpu.name}.",
                why="It computes in fp16, and the CPU has no fp16 arithmetic: XNNPACK does not load it there.",
                hint="Emulate `cpu=dotprod`. For such phones, export fp32, or int8 with `float_dtype=fp32`.",
                parameter="cpu",
            )
