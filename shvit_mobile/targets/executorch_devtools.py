"""Writes files for ExecuTorch's developer tools beside a program: its ETRecord, and a bundled program."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shvit_mobile.errors import VerificationFailed
from shvit_mobile.quiet import import_library, silence_libraries

_METHOD = "forward"


def write_etrecord(record: Any, path: Path) -> None:
    """Write an ETRecord, and read it again.

    Raises:
        VerificationFailed: If ExecuTorch cannot read what it has written.
        ToolMissing: If executorch is not installed.
    """
    devtools = import_library("executorch.devtools", "It writes ETRecords.")
    with silence_libraries():
        record.save(path)
        try:
            devtools.parse_etrecord(str(path))
        except Exception as reason:
            raise VerificationFailed(f"ExecuTorch cannot read the ETRecord {path.name}: {reason}") from reason


def write_bundled_program(
    program: Path, path: Path, inputs: NDArray[np.float32], outputs: Sequence[NDArray[np.float32]], tolerance: float
) -> None:
    """Write a program with test cases into one file, and run it on each; the same inputs give the same bytes.

    Args:
        program: The .pte file.
        path: The .bpte file.
        inputs: The values of each test case, shape (cases, channels, height, width).
        outputs: What the program should compute for them: each output, shape (cases, *shape).
        tolerance: The largest allowed difference of a value. The file has no place for it.

    Raises:
        VerificationFailed: If the bundled program does not compute these outputs.
        ToolMissing: If executorch is not installed.
    """
    devtools = import_library("executorch.devtools", "It writes bundled programs.")
    config = import_library("executorch.devtools.bundled_program.config", "It writes bundled programs.")
    serialization = import_library("executorch.devtools.bundled_program.serialize", "It writes bundled programs.")
    bindings = import_library("executorch.extension.pybindings.portable_lib", "It runs bundled programs.")
    cases = [
        config.MethodTestCase(
            inputs=[torch.tensor(values)[None]], expected_outputs=[torch.tensor(one[number])[None] for one in outputs]
        )
        for number, values in enumerate(inputs)
    ]
    with silence_libraries():
        suites = [config.MethodTestSuite(_METHOD, cases)]
        bundle = devtools.BundledProgram(None, suites, pte_file_path=str(program))
        data = serialization.serialize_from_bundled_program_to_flatbuffer(bundle)
        loaded = bindings._load_bundled_program_from_buffer(data)
        for number in range(len(cases)):
            try:
                loaded.verify_result_with_bundled_expected_output(_METHOD, number, rtol=0.0, atol=tolerance)
            except RuntimeError as reason:
                raise VerificationFailed(
                    f"The bundled program {path.name} does not compute the outputs of its test case {number}: {reason}."
                ) from reason
    path.write_bytes(data)
