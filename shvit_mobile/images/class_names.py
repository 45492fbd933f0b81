"""Class names, matched with the labels of a model: by name, by ImageNet synset, by index, or in sorted order."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TypeVar
from unicodedata import normalize

from shvit_mobile.contracts.image_use import ClassMapping, MappingRule
from shvit_mobile.images.accounting import replace_invalid_utf8
from shvit_mobile.images.imagenet import GENERIC_LABEL, SYNSET, find_synsets, fold_name

T = TypeVar("T")


@dataclass(frozen=True)
class ClassNames:
    """The labels of a model, for lookup by name.

    A name matches a label exactly; or without regard to case, spaces, underscores and hyphens; or the first of several
    synonyms ("tench" for "tench, Tinca tinca").

    Attributes:
        labels: The labels, in the order of the logits.
    """

    labels: tuple[str, ...]

    def find(self, name: str) -> tuple[int, ...]:
        """Return the indices of the classes called `name`: none if it is unknown, several if it is ambiguous."""
        for table, key in self._tables:
            if indices := table.get(key(name)):
                return indices
        return ()

    @cached_property
    def synsets(self) -> Mapping[str, int]:
        """The class of each ImageNet synset that is known."""
        return find_synsets(self.labels)

    @cached_property
    def are_generic(self) -> bool:
        """Whether the labels say nothing ("class 0"), because the checkpoint has none."""
        return all(GENERIC_LABEL.fullmatch(label) for label in self.labels)

    def describe_mismatch(self, name: str) -> str:
        """Return `name` in quotes, with the closest label."""
        if len(indices := self.find(name)) > 1:
            return f"'{name}' (the name of {len(indices)} classes)"
        labels = {fold_name(label): label for label in reversed(self.labels)}
        near = get_close_matches(fold_name(name), labels, n=1, cutoff=0.5)
        return f"'{name}' ({labels[near[0]]}?)" if near else f"'{name}'"

    def describe_classes(self) -> str:
        """Return a sentence that lists the classes."""
        return f"The classes, 0 to {len(self.labels) - 1}: {format_list(self.labels)}."

    @cached_property
    def _tables(self) -> list[tuple[Mapping[str, tuple[int, ...]], Callable[[str], str]]]:
        first = [label.split(",")[0] for label in self.labels]
        return [
            (_index_labels(_normalize_unicode, self.labels), _normalize_unicode),
            (_index_labels(fold_name, self.labels), fold_name),
            (_index_labels(fold_name, first), fold_name),
        ]


@dataclass(frozen=True)
class ClassMatch:
    """The class index of each name, and the rule by which they were found."""

    rule: MappingRule
    indices: Mapping[str, int]

    def describe(self, subject: str, model: ClassNames, *, used: Iterable[str], folders: bool) -> ClassMapping:
        """Say in a few sentences how names became classes.

        Args:
            subject: What the names are of: "The 10 folders in val".
            model: The labels of the model.
            used: The names for which there are images.
            folders: Whether the names are of folders, which some tools sort as text.
        """

        def format_class(index: int) -> str:
            return str(index) if model.are_generic else f"{index} '{model.labels[index]}'"

        ordered = sorted(self.indices, key=self.indices.__getitem__)
        first, last = (f"{name} is class {format_class(self.indices[name])}" for name in (ordered[0], ordered[-1]))
        rules: dict[MappingRule, str] = {
            "name": f"{subject} were matched with classes by name.",
            "synset": f"{subject} were matched with classes by ImageNet synset: {first}."
            + (" A model of 1000 classes without names is taken for one of ImageNet-1k." if model.are_generic else ""),
            "index": f"{subject} were matched with classes by index, from 0.",
            "one-based": f"{subject} count from 1, so {first} and {last}.",
            "sorted": f"{subject} became classes in sorted order, as the model has no names for them: "
            f"{first} and {last}.",
        }
        missing = sorted(set(range(len(model.labels))) - {self.indices[name] for name in used})
        sentences = [rules[self.rule]]
        if missing:
            listed = format_list(missing, format_class)
            sentences.append(f"{len(missing)} of {len(model.labels)} classes have no images: {listed}.")
        as_text, numbers = sorted(ordered), all(map(is_index, ordered))
        if folders and self.rule != "name" and numbers and as_text != (by_number := sorted(ordered, key=int)):
            other, order = (
                ("by number", by_number) if self.rule == "sorted" else ("as text, as by torchvision", as_text)
            )
            sentences.append(
                f"If the model was trained on folders sorted {other} ({', '.join(order[:4])}, ...), write their names "
                "into a labels file in that order."
            )
        return ClassMapping(rule=self.rule, sentence=replace_invalid_utf8(" ".join(sentences)))


def match_folders(names: Collection[str], model: ClassNames) -> ClassMatch | None:
    """Match the names of class folders with a model's classes; None if no rule fits all of them.

    Numbers are indices only if they are exactly 0 to n-1 or 1 to n: a subset does not tell where it counts from, and
    sorted order means something only if each class has a folder.
    """
    match = _match_names(names, model) or _match_whole_range(names, model)
    if match is None and model.are_generic and len(names) == len(model.labels):
        if any(model.find(name) for name in names):
            return None
        return ClassMatch("sorted", {name: index for index, name in enumerate(sorted(names))})
    return match


def match_labels(names: Collection[str], model: ClassNames) -> ClassMatch | None:
    """Match the labels in a CSV with a model's classes; None if no rule fits all of them.

    Numbers are indices from 0, unless they are exactly 1 to n.
    """
    match = _match_names(names, model) or _match_whole_range(names, model)
    if match is None and all(is_index(name) and int(name) < len(model.labels) for name in names):
        return _check_names("index", {name: int(name) for name in names}, model)
    return match


def is_index(name: str) -> bool:
    """Return whether a name is a number that may be a class index."""
    return name.isascii() and name.isdigit() and len(name) < 10


def describe_unmatched(names: Collection[str], model: ClassNames, noun: str) -> tuple[str, str]:
    """Say which of `names` match no class, and why; `noun` is what they are, in the plural."""
    last = len(model.labels) - 1
    if all(map(is_index, names)):
        numbers = sorted(map(int, names))
        return (
            f"the {noun} are numbers from {numbers[0]} to {numbers[-1]}, and the model has {last + 1} classes",
            f"Numbers are class indices if they are exactly 0 to {last}, or 1 to {last + 1} where they count from 1.",
        )
    kinds = [[name for name in names if is_index(name)], [name for name in names if SYNSET.fullmatch(name)]]
    others = [name for name in names if not any(name in kind for kind in kinds)]
    wrong = [name for name in names if len(model.find(name)) != 1]
    mixed = [kind for kind in (*kinds, others) if kind]
    why = model.describe_classes()
    if len(mixed) > 1 and all(len(model.find(name)) == 1 for name in others):
        why = f"Names, synsets and indices are not mixed, and '{mixed[0][0]}' is of another kind than '{mixed[-1][0]}'."
    return (
        f"{len(wrong)} of {len(names)} {noun} cannot be matched with a class of the model: "
        f"{format_list(wrong, model.describe_mismatch)}",
        why,
    )


def find_shared_class(match: ClassMatch) -> tuple[int, list[str]] | None:
    """Return a class that several names mean, and these names; None if there is none."""
    for index, count in Counter(match.indices.values()).items():
        if count > 1:
            return index, [name for name in match.indices if match.indices[name] == index]
    return None


def format_list(
    items: Sequence[T], format_item: Callable[[T], str] = str, *, separator: str = ", ", max_items: int = 5
) -> str:
    """Return the first `max_items` items as text, and the number of further items."""
    more = f" and {len(items) - max_items} more" if len(items) > max_items else ""
    return separator.join(map(format_item, items[:max_items])) + more


def _match_names(names: Collection[str], model: ClassNames) -> ClassMatch | None:
    """Match all names with labels, or all with synsets."""
    found = {name: model.find(name) for name in names}
    if all(len(indices) == 1 for indices in found.values()):
        return ClassMatch("name", {name: index for name, (index,) in found.items()})
    if all(name in model.synsets for name in names):
        return ClassMatch("synset", {name: model.synsets[name] for name in names})
    return None


def _match_whole_range(names: Collection[str], model: ClassNames) -> ClassMatch | None:
    """Match numbers that are exactly 0 to n-1, or 1 to n."""
    if not all(map(is_index, names)):
        return None
    numbers = {name: int(name) for name in names}
    rules: tuple[tuple[int, MappingRule], ...] = ((0, "index"), (1, "one-based"))
    for start, rule in rules:
        if sorted(numbers.values()) == list(range(start, start + len(model.labels))):
            return _check_names(rule, {name: number - start for name, number in numbers.items()}, model)
    return None


def _check_names(rule: MappingRule, indices: Mapping[str, int], model: ClassNames) -> ClassMatch | None:
    """Return the match, or None if a label contradicts it, because the labels are numbers too."""
    return ClassMatch(rule, indices) if all(model.find(name) in ((), (indices[name],)) for name in indices) else None


def _index_labels(key: Callable[[str], str], labels: Iterable[str]) -> dict[str, tuple[int, ...]]:
    table = defaultdict[str, tuple[int, ...]](tuple)
    for index, label in enumerate(labels):
        table[key(label)] += (index,)
    return dict(table)


def _normalize_unicode(name: str) -> str:
    return normalize("NFC", name)
