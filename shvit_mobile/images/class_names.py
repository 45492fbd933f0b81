"""What a person calls a class, found among the model's labels."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TypeVar
from unicodedata import normalize

T = TypeVar("T")
GENERIC_LABEL = re.compile(r"class[\s_-]*\d+", re.IGNORECASE)
WORDNET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class ClassNames:
    """A model's labels, to look names up in.

    A name is looked for as it is, then without regard to case, spaces, underscores and hyphens, then among the first of
    labels with several synonyms ('tench' for 'tench, Tinca tinca'), then as a class index.

    Attributes:
        labels: in the order of the logits.
        indices: whether a number that is no label is a class index.
    """

    labels: tuple[str, ...]
    indices: bool = True

    def find(self, name: str) -> tuple[int, ...]:
        """The indices of the classes called `name`: none if it is unknown, several if that does not tell them apart."""
        for table, key in self._tables:
            if found := table.get(key(name)):
                return found
        if self.indices and name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(self.labels):
            return (int(name),)
        return ()

    def match_only_by_order(self, names: Iterable[str]) -> bool:
        """Whether neither `names` nor the labels tell which belongs to which, other than by their order.

        Labels may be generic, as when a checkpoint has none. Or the names are the WordNet ids of all of ImageNet-1k,
        whose classes are always in the order of these ids.
        """
        names = list(names)
        if any(self.find(name) for name in names):
            return False
        generic = all(GENERIC_LABEL.fullmatch(label) for label in self.labels)
        return generic or (len(self.labels) == 1000 and all(WORDNET_ID.fullmatch(name) for name in names))

    def describe_mismatch(self, name: str) -> str:
        """`name` in quotes, with what may have been meant."""
        if several := self.find(name)[1:]:
            return f"'{name}' (the name of {len(several) + 1} classes: use the index)"
        near = get_close_matches(_fold_name(name), map(_fold_name, self.labels), n=1, cutoff=0.5)
        meant = next((label for label in self.labels if near and _fold_name(label) == near[0]), None)
        return f"'{name}' ({meant}?)" if meant else f"'{name}'"

    def describe_classes(self) -> str:
        """The classes, in a sentence."""
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
    """The first of `things`, each as `tell` tells it, and how many more there are."""
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
    """`name` without what people write differently; itself where nothing else would be left."""
    return re.sub(r"[\s_-]+", "", normalize("NFC", name).casefold()) or name
