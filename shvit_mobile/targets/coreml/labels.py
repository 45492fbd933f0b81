"""Unique labels, which Core ML requires."""

from collections import Counter
from collections.abc import Sequence


def make_labels_unique(labels: Sequence[str]) -> list[str]:
    """Append the class number to labels that several classes share.

    A Core ML classifier returns probabilities by label, so one of two classes with the same label (ImageNet has two
    cranes and two maillots) would be lost: they become "crane (134)" and "crane (517)".
    """
    shared = {label for label, count in Counter(labels).items() if count > 1}
    used = set(labels)
    result = []
    for index, label in enumerate(labels):
        if label in shared:
            while label in used:
                label = f"{label} ({index})"
            used.add(label)
        result.append(label)
    return result
