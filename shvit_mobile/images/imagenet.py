"""The classes of ImageNet-1k: synsets (WordNet ids) and names, and which of a model's labels they are."""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from unicodedata import normalize

_CLASSES_FILE = Path(__file__).with_name("imagenet_classes.txt")
SYNSET = re.compile(r"n\d{8}", re.ASCII)
GENERIC_LABEL = re.compile(r"(class|label)[\s_-]*\d+", re.IGNORECASE)


def fold_name(name: str) -> str:
    """Return `name` without case, spaces, underscores and hyphens, or `name` itself if nothing is left."""
    return re.sub(r"[\s_-]+", "", normalize("NFC", name).casefold()) or name


@cache
def load_imagenet_classes() -> dict[str, str]:
    """Return the names of the 1000 classes by synset, in the order of the logits."""
    lines = _CLASSES_FILE.read_text(encoding="utf-8").split("\n")
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def find_synsets(labels: Sequence[str]) -> dict[str, int]:
    """Return the class index of each synset that is known for a model with these labels; empty if none is.

    Labels may be synsets themselves. Otherwise they are known if all of them are names of ImageNet-1k; or if there are
    1000 of them that do not contradict its order, such as generic labels or names in another language.
    """
    own = [SYNSET.match(label.strip()) for label in labels]
    if all(own):
        return {match[0]: index for index, match in enumerate(own) if match}
    whole, parts = _index_names()
    known = [whole.get(name) or parts.get(name, ()) for name in map(fold_name, labels)]
    synsets = tuple(load_imagenet_classes())
    in_order = sum(index in places for index, places in enumerate(known))
    if len(labels) == len(synsets) and 2 * in_order >= sum(map(bool, known)):
        return {synset: index for index, synset in enumerate(synsets)}
    if not all(known):
        return {}
    unique = {places[0]: index for index, places in enumerate(known) if len(places) == 1}
    return {synsets[place]: index for place, index in unique.items()}


@cache
def _index_names() -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Return the classes by their names as a whole ("tench, Tinca tinca"), and by each of them."""
    whole, parts = defaultdict[str, tuple[int, ...]](tuple), defaultdict[str, tuple[int, ...]](tuple)
    for index, names in enumerate(load_imagenet_classes().values()):
        whole[fold_name(names)] += (index,)
        for name in dict.fromkeys(map(fold_name, names.split(","))):
            parts[name] += (index,)
    return dict(whole), dict(parts)
