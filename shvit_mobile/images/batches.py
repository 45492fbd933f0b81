"""Pictures decoded in parallel and handed on in order, a batch at a time, with those that could not be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadImages, InvalidConfig
from shvit_mobile.images.decode import decode_image
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.processes import count_processors


@dataclass(frozen=True)
class SkippedImage:
    """A picture that could not be used, and why, in a sentence."""

    file: Path
    reason: str


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Some pictures as the model sees them.

    Attributes:
        pixels: as `Preprocessing.pixels` gives them: uint8, shape (images, height, width, 3); at least one image.
        labels: their class indices, int64, shape (images,); None where there are no labels.
        files: where they came from.
        skipped: the files before, between and after them that could not be decoded. Over all batches, each file is once
            in `files` or in `skipped`.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    files: tuple[Path, ...]
    skipped: tuple[SkippedImage, ...]


def iterate_batches(
    images: ImageSet,
    preprocessing: Preprocessing,
    *,
    size: int = 32,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[ImageBatch]:
    """The images in order, `size` at a time; only the last batch may be smaller.

    The batches do not depend on the number of workers, of whose results no more than a few are held at a time.

    Args:
        images: what to decode.
        preprocessing: what to make of each picture.
        size: images in a batch.
        workers: threads; as many as there are processors, at most 8, if None.
        progress: told (files done, files in all) after each file, in the thread that takes the batches.

    Raises:
        BadImages: there are no images, or, at the end, none could be decoded.
        InvalidConfig: `size` or `workers` is below 1.
    """
    workers = min(count_processors(), 8) if workers is None else workers
    if size < 1 or workers < 1:
        raise InvalidConfig(f"size is {size} and workers {workers}.", why="Both are at least 1.")
    if not images.files:
        raise BadImages(f"There are no images in {images.root}.")
    return _generate_batches(images, preprocessing, size, workers, progress)


def _generate_batches(
    images: ImageSet,
    preprocessing: Preprocessing,
    size: int,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[ImageBatch]:
    batch = _BatchBuilder()
    first: SkippedImage | None = None
    any_good = False
    for index, result in enumerate(_decode_in_order(images.files, preprocessing, workers)):
        if isinstance(result, SkippedImage):
            first = first or result
            batch.skipped.append(result)
        else:
            # A full batch waits for the next picture, so that what cannot be decoded after the last one finds a place.
            if len(batch.pixels) == size:
                yield batch.build(images)
                batch = _BatchBuilder()
            batch.pixels.append(result)
            batch.indices.append(index)
            any_good = True
        if progress:
            progress(index + 1, len(images))
    if not any_good:
        raise BadImages(
            f"None of the {len(images)} images in {images.root} could be decoded.", why=first.reason if first else ""
        )
    yield batch.build(images)


@dataclass
class _BatchBuilder:
    """A batch under way."""

    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    skipped: list[SkippedImage] = field(default_factory=list)

    def build(self, images: ImageSet) -> ImageBatch:
        labels = None if images.labels is None else np.array([images.labels[i] for i in self.indices], dtype=np.int64)
        return ImageBatch(
            np.stack(self.pixels), labels, tuple(images.files[i] for i in self.indices), tuple(self.skipped)
        )


def _decode_in_order(
    files: tuple[Path, ...], preprocessing: Preprocessing, workers: int
) -> Iterator[NDArray[np.uint8] | SkippedImage]:
    """What became of each file, in order; at most three files a worker are under way or waiting to be taken."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    waiting: deque[Future[NDArray[np.uint8] | SkippedImage]] = deque()
    try:
        for file in files:
            if len(waiting) == 3 * workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(_load_pixels, file, preprocessing))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _load_pixels(file: Path, preprocessing: Preprocessing) -> NDArray[np.uint8] | SkippedImage:
    try:
        return preprocessing.preprocess_image(decode_image(file))
    except BadImages as reason:
        return SkippedImage(file, reason.what)
    except Exception as reason:
        # One odd picture must not end an hour's run; if the fault is ours, no picture passes and the end says so.
        return SkippedImage(file, f"{file} cannot be used: {type(reason).__name__}: {reason}.")
