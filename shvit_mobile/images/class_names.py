"""Class names, matched with the labels of a model."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TypeVar
from unicodedata import normalize

T = TypeVar("T")
_GENERIC_LABEL = re.compile(r"class[\s_-]*\d+", re.IGNORECASE)
_WORDNET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class ClassNames:
    """The labels of a model, for lookup by name.

    A name matches a label exactly; or without regard to case, spaces, underscores and hyphens; or the first of several
    synonyms ("tench" for "tench, Tinca tinca"); or it is a class index.

    Attributes:
        labels: The labels, in the order of the logits.
        indices: Whether a number that is not a label is a class index.
    """

    labels: tuple[str, ...]
    indices: bool = True

    def find(self, name: str) -> tuple[int, ...]:
        """Return the indices of the classes called `name`: none if it is unknown, several if it is ambiguous."""
        for table, key in self._tables:
            if indices := table.get(key(name)):
                return indices
        if self.indices and name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(self.labels):
            return (int(name),)
        return ()

    def match_only_by_order(self, names: Iterable[str]) -> bool:
        """Return whether `names` and labels can be matched only by their order.

        Either the labels are generic ("class 0"), because the checkpoint has none; or the names are the WordNet ids of
        ImageNet-1k, whose classes are always in the order of these ids.
        """
        names = list(names)
        if any(self.find(name) for name in names):
            return False
        generic = all(_GENERIC_LABEL.fullmatch(label) for label in self.labels)
        return generic or (len(self.labels) == 1000 and all(_WORDNET_ID.fullmatch(name) for name in names))

    def describe_mismatch(self, name: str) -> str:
        """Return `name` in quotes, with the closest label."""
        if len(indices := self.find(name)) > 1:
            return f"'{name}' (the name of {len(indices)} classes: use the index)"
        labels = {_fold_name(label): label for label in reversed(self.labels)}
        near = get_close_matches(_fold_name(name), labels, n=1, cutoff=0.5)
        return f"'{name}' ({labels[near[0]]}?)" if near else f"'{name}'"

    def describe_classes(self) -> str:
        """Return a sentence that lists the classes."""
        last = len(self.labels) - 1
        indices = f", 0 to {last}" if self.indices else ""
        return f"The classes{indices}: {format_list(self.labels)}."

    @cached_property
    def _tables(self) -> list[tuple[Mapping[str, tuple[int, ...]], Callable[[str], str]]]:
        first = [label.split(",")[0] for label in self.labels]
        return [
            (_index_labels(_normalize_unicode, self.labels), _normalize_unicode),
            (_index_labels(_fold_name, self.labels), _fold_name),
            (_index_labels(_fold_name, first), _fold_name),
        ]


def format_list(
    items: Sequence[T], format_item: Callable[[T], str] = str, *, separator: str = ", ", max_items: int = 5
) -> str:
    """Return the first `max_items` items as text, and the number of further items."""
    more = f" and {len(items) - max_items} more" if len(items) > max_items else ""
    return separator.join(map(format_item, items[:max_items])) + more


def _index_labels(key: Callable[[str], str], labels: Iterable[str]) -> dict[str, tuple[int, ...]]:
    table = defaultdict[str, tuple[int, ...]](tuple)
    for index, label in enumerate(labels):
        table[key(label)] += (index,)
    return dict(table)


def _normalize_unicode(name: str) -> str:
    return normalize("NFC", name)


def _fold_name(name: str) -> str:
    """Return `name` without case, spaces, underscores and hyphens, or `name` itself if nothing is left."""
    return re.sub(r"[\s_-]+", "", normalize("NFC", name).casefold()) or name
