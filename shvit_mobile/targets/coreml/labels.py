"""Labels as Core ML needs them: no two the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def make_labels_unique(labels: Sequence[str]) -> list[str]:
    """The labels, those that several classes share followed by the number of their class.

    A Core ML classifier answers with probabilities by label, so that of two classes with one label (ImageNet has two
    cranes and two maillots) one would be lost: they become "crane (134)" and "crane (517)".
    """
    shared = {label for label, count in Counter(labels).items() if count > 1}
    taken = set(labels)
    result = []
    for index, label in enumerate(labels):
        if label in shared:
            while label in taken:
                label = f"{label} ({index})"
            taken.add(label)
        result.append(label)
    return result
