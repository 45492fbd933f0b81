"""Defines a section of the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PageSection:
    """A part of the page.

    Attributes:
        name: The name of its template and of its anchor.
        title: Its heading; short: Its name in the list of contents.
        data: The variables of its template.
    """

    name: str
    title: str
    short: str
    data: Mapping[str, Any]
