"""Keeps the libraries we stand on from talking over our own output; what they raise is untouched."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

NOISY_LOGGERS = ("root", "torchao", "torch", "torch.utils._pytree", "coremltools", "executorch")


@contextmanager
def silence_libraries() -> Iterator[None]:
    """While open, warnings and the log lines below errors of `NOISY_LOGGERS` libraries are dropped.

    They complain while they are imported and while they export, about their own deprecations and about extensions for
    hardware that is not here; nothing of it is for our user to act on.
    """
    loggers = [logging.getLogger(name) for name in NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
