"""What a section is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PageSection:
    """A part of the page.

    Attributes:
        name: of its template, and of its place in the page.
        title: its heading; short: the same in the list of contents.
        data: what its template shows.
    """

    name: str
    title: str
    short: str
    data: Mapping[str, Any]
