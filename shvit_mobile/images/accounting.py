"""The account of the files that cannot be used, by reason."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from shvit_mobile.contracts.image_use import SkippedImages, format_skipped
from shvit_mobile.errors import BadImages

_MAX_GROUPS = 8


def group_skipped(files: Iterable[tuple[str, str]]) -> tuple[SkippedImages, ...]:
    """Return the files by reason, most frequent first.

    Reasons that differ only in numbers ("7 bytes are missing") are one.

    Args:
        files: The name of each file, relative to the folder, and the reason.
    """
    counts, firsts = Counter[str](), dict[str, tuple[str, str]]()
    for name, reason in files:
        key = re.sub(r"\d+", "0", reason)
        counts[key] += 1
        firsts.setdefault(key, (name, reason))
    return merge_skipped(
        SkippedImages(
            reason=replace_invalid_utf8(firsts[key][1]), count=count, first=replace_invalid_utf8(firsts[key][0])
        )
        for key, count in counts.items()
    )


def merge_skipped(*accounts: Iterable[SkippedImages]) -> tuple[SkippedImages, ...]:
    """Return the groups of several accounts, most frequent first; rare ones are put together at the end."""
    groups = [group for account in accounts for group in account]
    ordered = sorted(groups, key=lambda group: -group.count)
    shown, rest = ordered[:_MAX_GROUPS], ordered[_MAX_GROUPS:]
    if rest:
        count = sum(group.count for group in rest)
        shown.append(SkippedImages(reason="of other reasons", count=count, first=rest[0].first))
    return tuple(shown)


def check_majority(root: Path, usable: int, skipped: Iterable[SkippedImages]) -> None:
    """Check that at least as many images can be used as not.

    Raises:
        BadImages: If not; names the reasons and the first file of each.
    """
    skipped = tuple(skipped)
    unusable = sum(group.count for group in skipped)
    if unusable > usable:
        part = f"Only {usable} of" if usable else "None of the"
        raise BadImages(
            f"{part} {usable + unusable} images in {root} can be used; skipped {format_skipped(skipped)}.",
            why="Results on a small part of the images say little about the rest.",
            hint="Mend these files, or take them out of the folder.",
        )


def replace_invalid_utf8(name: str) -> str:
    """Replace bytes of a file name that are not UTF-8, which JSON cannot contain, by replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
