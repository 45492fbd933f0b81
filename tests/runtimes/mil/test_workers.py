"""Programs that do not take many images at once: each image in a process of its own, with the same results."""

from __future__ import annotations

import os
import signal
from contextlib import closing

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.proto import Model_pb2

from shvit_mobile.errors import BadArtifact
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from shvit_mobile.runtimes.mil.workers import WorkerPool
from tests.runtimes.mil.packages import OperatorCase, draw_array, save_cases

IMAGES = draw_array(5, 4, 6)
MODEL = "Data/com.apple.CoreML/model.mlmodel"


def build_unbatchable(x):
    """Half of it depends on the order of the rows, so many images cannot be rows."""
    return mb.softmax(x=mb.reshape(x=mb.square(x=x), shape=[4, 6]), axis=0)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    case = OperatorCase(build_unbatchable, None, (IMAGES[:1],))
    return CoreMLProgram(save_cases({"y": case}, tmp_path_factory.mktemp("workers") / "alone.mlpackage"))


@pytest.fixture(scope="module")
def workers(program):
    with closing(WorkerPool(program, processes=2)) as made:
        yield made


def test_the_processes_give_the_values_of_the_program(program, workers):
    assert program.not_batchable_reason.startswith("reshape '")
    for count in (1, 2, 5):
        many = workers(IMAGES[:count])["y"]
        expected = [program(IMAGES[index : index + 1])["y"] for index in range(count)]
        np.testing.assert_array_equal(many, expected if count > 1 else expected[0])


def test_the_processes_live_until_they_are_closed(program):
    with closing(WorkerPool(program, processes=2)) as workers:
        workers(IMAGES)
        first = dict(workers._pool._processes)
        workers(IMAGES)
        assert workers._pool._processes == first
        assert len(first) == 2
        processes = list(first.values())
        assert all(process.is_alive() for process in processes)
    assert not any(process.is_alive() for process in processes)


def test_an_error_in_a_process_is_raised_here(program, workers, tmp_path):
    model = Model_pb2.Model()
    package = save_cases({"y": OperatorCase(build_unbatchable, None, (IMAGES[:1],))}, tmp_path / "wrong.mlpackage")
    model.ParseFromString((package / MODEL).read_bytes())
    function = model.mlProgram.functions["main"]
    for operation in function.block_specializations[function.opset].operations:
        if operation.type == "square":
            operation.outputs[0].type.tensorType.dimensions[2].constant.size = 7
    (package / MODEL).write_bytes(model.SerializeToString())
    with closing(WorkerPool(CoreMLProgram(package), processes=1)) as wrong:
        with pytest.raises(BadArtifact, match=r"wrong.mlpackage, square '.*gives the shape \(1, 4, 6\)") as caught:
            wrong(IMAGES)
        assert caught.value.why or caught.value.what


def test_a_process_that_dies_is_reported(program):
    with closing(WorkerPool(program, processes=1)) as workers:
        workers(IMAGES)
        (process,) = workers._pool._processes.values()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with pytest.raises(BadArtifact, match=r"A process that ran .*alone.mlpackage died"):
            workers(IMAGES)
