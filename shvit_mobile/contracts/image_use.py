"""The account of the images that a command was given: which of them it used, which not and why, and their classes."""

from typing import Annotated, Literal

from pydantic import Field

from shvit_mobile.contracts.document import Contract, Count

# How folders, or the labels of a CSV, were matched with the model's classes.
MappingRule = Literal["name", "synset", "index", "one-based", "sorted"]


class SkippedImages(Contract):
    """Files that were not used for the same reason.

    Attributes:
        reason: The reason for the first of them.
        count: The number of files.
        first: The first of them, relative to the folder.
    """

    reason: str
    count: Annotated[int, Field(ge=1)]
    first: str


class ImageUse(Contract):
    """What became of the files in a folder of images.

    Attributes:
        requested: The number of images that were asked for; None for all.
        found: The number of files in the folder, without hidden ones.
        used: The number of images that were decoded and used.
        skipped: The files that cannot be used, by reason, most frequent first. Files that a sample left out are not
            among them.
    """

    requested: Count | None = None
    found: Count
    used: Count
    skipped: tuple[SkippedImages, ...] = ()

    @property
    def skipped_count(self) -> int:
        """The number of files that cannot be used."""
        return sum(group.count for group in self.skipped)

    @property
    def is_complete(self) -> bool:
        """Whether every file was used that was asked for."""
        return not self.skipped and self.requested in (None, self.used)

    def describe(self, source: str) -> str:
        """Return a sentence about the images of a folder, and one about those that cannot be used."""
        requested = "" if self.requested in (None, self.used) else f" ({self.requested} were requested)"
        used = f"Used {self.used} of {self.found} files in {source}{requested}."
        return f"{used} Skipped {format_skipped(self.skipped)}." if self.skipped else used


class ClassMapping(Contract):
    """How folders, or the labels of a CSV, were matched with the model's classes.

    Attributes:
        rule: By name; by ImageNet synset; by index; by a number that counts from 1; or in sorted order.
        sentence: The rule, classes without images, and what is uncertain about it.
    """

    rule: MappingRule
    sentence: str


def format_skipped(skipped: tuple[SkippedImages, ...]) -> str:
    """Return the number, the first file and the reason of each group."""
    return "; ".join(f"{group.count} (first: {group.first}): {group.reason}" for group in skipped)
