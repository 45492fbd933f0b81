"""Calls run several at once, in order, with one thread for each kernel."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from shvit_mobile.threads import choose_batch_size, map_in_order, use_one_thread_per_kernel


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> int:
    torch.set_num_threads(request.param)
    return request.param


def test_results_are_in_the_order_of_the_items(threads: int) -> None:
    def wait(item: int) -> int:
        time.sleep(0.01 if item == 0 else 0)
        return item

    assert list(map_in_order(wait, range(7))) == list(range(7))


def test_as_many_calls_run_at_once_as_there_are_threads(threads: int) -> None:
    barrier = threading.Barrier(threads)
    numbers = list(map_in_order(lambda item: (barrier.wait(timeout=60), torch.get_num_threads())[1], range(threads)))
    assert numbers == [1] * threads
    assert torch.get_num_threads() == threads


def test_items_are_taken_as_they_are_needed(threads: int) -> None:
    taken = []

    def take() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = map_in_order(lambda item: item, take())
    next(results)
    assert len(taken) <= threads + 1
    results.close()  # type: ignore[attr-defined]
    assert torch.get_num_threads() == threads


def test_an_error_ends_the_calls_and_restores_the_threads(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_in_order(lambda item: 1 // item, [1, 0, 1]))
    assert torch.get_num_threads() == threads


def test_inference_mode_reaches_the_threads(threads: int) -> None:
    with torch.inference_mode():
        (result,) = map_in_order(lambda item: torch.ones(1) + item, [1])
    assert result.is_inference()


def test_contexts_may_be_nested(threads: int) -> None:
    with use_one_thread_per_kernel(), use_one_thread_per_kernel():
        assert torch.get_num_threads() == 1
        barrier = threading.Barrier(threads)
        list(map_in_order(lambda _: barrier.wait(timeout=60), range(threads)))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("size", "count"), [((224, 224), 16), ((256, 256), 16), ((512, 512), 4), ((1024, 2048), 1)])
def test_large_images_are_fewer_at_once(size: tuple[int, int], count: int) -> None:
    assert choose_batch_size(16, size) == count
