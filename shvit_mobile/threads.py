"""Arithmetic whose results do not depend on the number of threads.

PyTorch chooses the kernels of a convolution by the number of threads, and they round differently: a calibration on
another machine would write another recipe. So every kernel gets one thread, and several batches run at once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# The number of images that a model computes at once, always the same: kernels are chosen by it, too.
BATCH = 4
# Up to this size, batches are whole; larger images take as much memory with fewer of them at once.
_USUAL_PIXELS = 256 * 256
# How many threads `map_in_order` may use; 0 outside of `use_one_thread_per_kernel`.
_workers = ContextVar("workers", default=0)


@contextmanager
def use_one_thread_per_kernel() -> Iterator[None]:
    """Give each of PyTorch's kernels one thread inside the context; `map_in_order` uses the other threads."""
    if _workers.get():
        yield
        return
    threads = torch.get_num_threads()
    token = _workers.set(threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _workers.reset(token)


def choose_batch_size(most: int, size: tuple[int, int]) -> int:
    """Return how many images of `size`, (height, width), are computed at once: fewer than `most` if they are large."""
    height, width = size
    return max(1, min(most, most * _USUAL_PIXELS // (height * width)))


def map_in_order(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yield `function(item)` for each item, in the order of the items.

    As many calls run at once, each in a thread of its own, as PyTorch would use threads. `function` must not change
    anything that other calls read, unless the order does not matter.
    """
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def call(item: _Item) -> _Result:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return function(item)

    with use_one_thread_per_kernel():
        workers = _workers.get()
        if workers == 1:
            yield from map(function, items)
            return
        waiting: deque[Future[_Result]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(call, item))
                    if len(waiting) > workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
