"""The two kinds of callback that report progress."""

from collections.abc import Callable

# Called with what is done and how much there is in all: images, passes, layers.
ProgressCallback = Callable[[int, int], None]
# Called with the name of the step that runs, what is done of it, and how much there is in all.
StepCallback = Callable[[str, int, int], None]
