"""The images that the executor's benchmark runs on, and what its table says."""

import benchmark_executor
import numpy as np
import pytest

from shvit_mobile.contracts.preprocessing import Preprocessing
from tests.builders import write_picture_folder


def test_images_are_used_again_where_they_are_fewer(tmp_path):
    folder = write_picture_folder(tmp_path, count=3)
    turns = list(benchmark_executor.iterate_pictures(folder, Preprocessing(size=(32, 48)), images=8, batch=5))
    assert [turn.shape for turn in turns] == [(5, 32, 48, 3), (3, 32, 48, 3)]
    np.testing.assert_array_equal(turns[0][0], turns[0][3])
    np.testing.assert_array_equal(turns[0][1], turns[1][2])
    first, again, *rest = benchmark_executor.add_warm_up(iter(turns))
    assert first is again is turns[0]
    assert rest[0] is turns[1]


@pytest.mark.parametrize("slower", [1.2, 2.0])
def test_the_table_says_how_many_times_as_long(slower):
    eager = [1.0, 2.0, 1.5] * 4
    table = benchmark_executor.format_table({"eager torch": eager, "package": [slower * s for s in eager]}, 1000)
    assert table.splitlines()[0] == "| 1,000 images | s | times as long |"
    assert f"| package | {slower * 18:.1f} | {slower:.2f} ({slower:.2f}–{slower:.2f}) |" in table
