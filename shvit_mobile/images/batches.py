"""Batches of images, decoded in parallel and returned in order, with the files that could not be decoded."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.image_use import SkippedImages
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadImages, InvalidValue
from shvit_mobile.images.accounting import check_majority, group_skipped
from shvit_mobile.images.decode import UndecodableImage, decode_image
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.processes import count_processors
from shvit_mobile.progress import ProgressCallback

# What `keep_pixels` keeps at most: 600 images of 224 x 224.
_MAX_KEPT_BYTES = 96 * 1024 * 1024
# 32 images of 512 x 512 take 100 MB as float32, and the layers of a model several times that.
_MAX_BATCH_PIXELS = 32 * 512 * 512


@dataclass(frozen=True)
class SkippedImage:
    """An image file that could not be decoded, and the reason as a clause: "it is empty"."""

    file: Path
    reason: str


@dataclass(frozen=True, eq=False)
class _ImageBatch:
    """A batch of preprocessed images.

    Attributes:
        pixels: uint8, shape (images, height, width, 3), from `Preprocessing.preprocess_image`; at least one image.
        labels: Class indices, int64, shape (images,); None without labels.
        files: The files of the images.
        sizes: (height, width) of each upright picture, before preprocessing.
        skipped: The files next to them that could not be decoded. Over all batches, each file is once in `files` or
            once in `skipped`.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    files: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    skipped: tuple[SkippedImage, ...]


class _Picture(NamedTuple):
    """Preprocessed pixels, uint8, shape (height, width, 3), and the picture's own (height, width)."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]


@dataclass(eq=False)
class _KeptPixels:
    """The pixels of files that were decoded, until they are `_MAX_KEPT_BYTES`; later files are not kept."""

    results: dict[tuple[Path, Preprocessing], _Picture | SkippedImage] = field(default_factory=dict)
    bytes: int = 0

    def add(self, file: Path, preprocessing: Preprocessing, result: _Picture | SkippedImage) -> None:
        size = 0 if isinstance(result, SkippedImage) else result.pixels.nbytes
        if (file, preprocessing) not in self.results and self.bytes + size <= _MAX_KEPT_BYTES:
            self.results[file, preprocessing] = result
            self.bytes += size


_kept_pixels: ContextVar[_KeptPixels | None] = ContextVar("kept_pixels", default=None)


@contextmanager
def keep_pixels() -> Iterator[None]:
    """Keep what `iterate_batches` decodes inside the context, so that the same files are not decoded again.

    An export runs its images through the checkpoint and through each artifact.
    """
    if _kept_pixels.get() is not None:
        yield
        return
    token = _kept_pixels.set(_KeptPixels())
    try:
        yield
    finally:
        _kept_pixels.reset(token)


def iterate_batches(
    images: ImageSet,
    preprocessing: Preprocessing,
    *,
    size: int = 32,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> Iterator[_ImageBatch]:
    """Yield the images in order, in batches of `size`; only the last batch, and those of large images, are smaller.

    The batches do not depend on `workers`. Only a few decoded images are in memory at a time.

    Args:
        images: The images.
        preprocessing: The preprocessing of the model.
        size: Images per batch.
        workers: Decoding threads (default: the number of processors, at most 8).
        progress: Called after each file, in the thread that consumes the batches.

    Raises:
        BadImages: If there are no images, or most of them cannot be decoded.
        InvalidValue: If `size` or `workers` is below 1.
    """
    workers = min(count_processors(), 8) if workers is None else workers
    for name, value in (("size", size), ("workers", workers)):
        if value < 1:
            raise InvalidValue(f"`{name}` is {value}.", why="It is at least 1.", parameter=name)
    if not images.files:
        raise BadImages(f"There are no images in {images.root}.")
    height, width = preprocessing.size
    size = min(size, max(1, _MAX_BATCH_PIXELS // (height * width)))
    return _generate_batches(images, preprocessing, size, workers, progress)


def _generate_batches(
    images: ImageSet,
    preprocessing: Preprocessing,
    size: int,
    workers: int,
    progress: ProgressCallback | None,
) -> Iterator[_ImageBatch]:
    batch = _BatchBuilder()
    skipped: list[SkippedImage] = []
    for index, result in enumerate(_decode_in_order(images.files, preprocessing, workers)):
        if isinstance(result, SkippedImage):
            skipped.append(result)
            batch.skipped.append(result)
        elif 2 * len(skipped) <= len(images):
            # A full batch waits for the next image, so that files skipped at the end belong to the last batch.
            if len(batch.pixels) == size:
                yield batch.build(images)
                batch = _BatchBuilder()
            batch.add(index, result)
        if progress:
            progress(index + 1, len(images))
    check_majority(images.root, len(images) - len(skipped), group_undecodable(images, skipped))
    yield batch.build(images)


def group_undecodable(images: ImageSet, skipped: Iterable[SkippedImage]) -> tuple[SkippedImages, ...]:
    """Return the files of a set that could not be decoded, by reason."""
    return group_skipped(sorted((image.file.relative_to(images.root).as_posix(), image.reason) for image in skipped))


@dataclass
class _BatchBuilder:
    """A batch in progress."""

    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    skipped: list[SkippedImage] = field(default_factory=list)

    def add(self, index: int, picture: "_Picture") -> None:
        self.pixels.append(picture.pixels)
        self.sizes.append(picture.size)
        self.indices.append(index)

    def build(self, images: ImageSet) -> _ImageBatch:
        labels = None if images.labels is None else np.array([images.labels[i] for i in self.indices], dtype=np.int64)
        files = tuple(images.files[i] for i in self.indices)
        return _ImageBatch(np.stack(self.pixels), labels, files, tuple(self.sizes), tuple(self.skipped))


def _decode_in_order(
    files: tuple[Path, ...], preprocessing: Preprocessing, workers: int
) -> Iterator[_Picture | SkippedImage]:
    """Yield each picture or the reason to skip it; at most three files per worker are in memory."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    waiting: deque[tuple[Path, Future[_Picture | SkippedImage]]] = deque()
    kept = _kept_pixels.get()

    def take() -> _Picture | SkippedImage:
        file, future = waiting.popleft()
        result = future.result()
        if kept:
            kept.add(file, preprocessing, result)
        return result

    try:
        for file in files:
            if kept and (file, preprocessing) in kept.results:
                while waiting:
                    yield take()
                yield kept.results[file, preprocessing]
                continue
            if len(waiting) == 3 * workers:
                yield take()
            waiting.append((file, pool.submit(_load_pixels, file, preprocessing)))
        while waiting:
            yield take()
    finally:
        pool.shutdown(cancel_futures=True)


def _load_pixels(file: Path, preprocessing: Preprocessing) -> _Picture | SkippedImage:
    try:
        image = decode_image(file)
        return _Picture(preprocessing.preprocess_image(image), (image.height, image.width))
    except UndecodableImage as reason:
        return SkippedImage(file, reason.reason)
    except BadImages as reason:
        return SkippedImage(file, reason.what.removesuffix("."))
    except Exception as reason:
        # One bad image must not end a long run; a bug here fails for all images, which is an error at the end.
        return SkippedImage(file, f"of {type(reason).__name__}: {reason}".rstrip(": "))
