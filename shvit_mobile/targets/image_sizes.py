"""Several image sizes in one artifact: what the targets that have them check, and how they name them."""

from shvit_mobile.contracts.artifact import format_size
from shvit_mobile.contracts.manifest import InputSize
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import InvalidValue, NotSupported
from shvit_mobile.families.trained_model import TrainedModel

ImageSize = tuple[int, int]


def check_more_sizes(sizes: tuple[ImageSize, ...]) -> None:
    """Raise `InvalidValue` if a size, (height, width), is out of range or given twice."""
    for size in sizes:
        Preprocessing(size=size)
    if len(set(sizes)) < len(sizes):
        raise InvalidValue("`more_sizes` has a size twice.", hint="Give each once.", parameter="more_sizes")


def check_sized_model(trained: TrainedModel, sizes: tuple[ImageSize, ...]) -> None:
    """Raise `InvalidConfig` if a model cannot be exported for more sizes than its own, or has one of them."""
    if sizes and (trained.task != "classify" or not trained.family.has_any_size):
        raise NotSupported(
            f"`more_sizes` is given for {trained.variant} with the task {trained.task}.",
            why="Programs for several sizes are classifiers whose modules compute the same at every size: SHViT's.",
            hint="Export a program for each size.",
            parameter="more_sizes",
        )
    if trained.preprocessing.size in sizes:
        raise InvalidValue(
            f"`more_sizes` has the model's own size, {format_size(trained.preprocessing.size)}.",
            hint="Give the others only.",
            parameter="more_sizes",
        )


def list_sizes(first: ImageSize, others: tuple[ImageSize, ...], method: str) -> tuple[InputSize, ...]:
    """Return the sizes of a program with their methods, the model's own first; none for a program of one size.

    Args:
        first: The model's own size.
        others: The other sizes.
        method: The method or function of the first; those of the others add their size to this name.
    """
    if not others:
        return ()
    named = (InputSize(size=size, method=f"{method}_{format_size(size)}") for size in others)
    return InputSize(size=first, method=method), *named


def format_sizes_suffix(others: tuple[ImageSize, ...]) -> str:
    """Return how an artifact's name lists the sizes beside its own: "-and-384-512", or nothing."""
    return "-and" + "".join(f"-{format_size(size)}" for size in others) if others else ""
