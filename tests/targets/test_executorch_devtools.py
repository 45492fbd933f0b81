"""Files for ExecuTorch's developer tools hold the program's graph, and test cases that the program passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from executorch.devtools import parse_etrecord
from executorch.extension.pybindings import portable_lib

from shvit_mobile.contracts.artifact import Artifact, read_goldens
from shvit_mobile.errors import OutputExists, VerificationFailed
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.runner import prepare_input
from shvit_mobile.targets.executorch import ExecuTorchOptions
from shvit_mobile.targets.executorch_devtools import write_bundled_program
from tests.programs import LoweredProgram, draw_pictures, lower_program


@pytest.fixture(scope="module")
def plain() -> LoweredProgram:
    return lower_program("int8")


@pytest.fixture(scope="module")
def exported(plain: LoweredProgram, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    options = ExecuTorchOptions(etrecord=True, bundled=True)
    folder = tmp_path_factory.mktemp("devtools")
    return lower(plain.deployed, plain.recipe, "executorch", folder, options=options)


def test_the_program_and_its_manifest_are_the_same_without_them(plain: LoweredProgram, exported: Artifact) -> None:
    assert exported.manifest == plain.artifact.manifest


def test_the_etrecord_holds_the_graph_of_the_program(exported: Artifact) -> None:
    record = parse_etrecord(str(exported.path.with_suffix(".etrecord")))
    pixels = draw_pictures(3)
    with torch.no_grad():
        graph = record.exported_program.module()
        logits = [graph(torch.from_numpy(image[None])) for image in prepare_input(exported.manifest, pixels)]
    assert sqnr(open_runner(exported).run(pixels), torch.cat(logits).numpy()) > 25
    (delegate,) = record._delegate_map["forward"].values()
    assert delegate["name"] == "XnnpackBackend"
    assert record._debug_handle_map["forward"]["0"]


def test_the_bundled_program_passes_its_test_cases_which_are_the_goldens(exported: Artifact) -> None:
    goldens = read_goldens(exported)
    loaded = portable_lib._load_bundled_program_from_buffer(exported.path.with_suffix(".bpte").read_bytes())
    for number, image in enumerate(goldens.images):
        (logits,) = loaded.verify_result_with_bundled_expected_output("forward", number, 0.0, goldens.tolerance)
        np.testing.assert_allclose(logits[0], image.logits, atol=goldens.tolerance)
    with pytest.raises(RuntimeError):
        loaded.verify_result_with_bundled_expected_output("forward", len(goldens.images), 0.0, 1.0)


def test_a_bundled_program_with_other_logits_is_not_written(plain: LoweredProgram, tmp_path: Path) -> None:
    pixels = draw_pictures(2)
    logits = open_runner(plain.artifact).run(pixels)
    inputs, file = prepare_input(plain.artifact.manifest, pixels), tmp_path / "program.bpte"
    write_bundled_program(plain.artifact.path, file, inputs, [logits], 1e-4)
    before = file.read_bytes()
    write_bundled_program(plain.artifact.path, file, inputs, [logits], 1e-4)
    assert file.read_bytes() == before
    logits[1, 2] += 0.01
    with pytest.raises(VerificationFailed, match="test case 1"):
        write_bundled_program(plain.artifact.path, tmp_path / "wrong.bpte", inputs, [logits], 1e-4)
    assert not (tmp_path / "wrong.bpte").exists()


def test_files_of_an_older_export_go_with_it(plain: LoweredProgram, tmp_path: Path) -> None:
    def export(options: ExecuTorchOptions, *, overwrite: bool = False) -> Artifact:
        return lower(plain.deployed, plain.recipe, "executorch", tmp_path, options=options, overwrite=overwrite)

    bundled = tmp_path / plain.artifact.path.with_suffix(".bpte").name
    bundled.write_bytes(b"another program")
    with pytest.raises(OutputExists, match="bpte already exists"):
        export(ExecuTorchOptions(bundled=True))
    assert export(ExecuTorchOptions(), overwrite=True).path.exists()
    assert not bundled.exists()
