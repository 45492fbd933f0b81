"""Where this project keeps what it has downloaded."""

from __future__ import annotations

import os
from pathlib import Path


def get_cache_folder() -> Path:
    """`shvit-mobile` in $XDG_CACHE_HOME, or in ~/.cache; absolute, and perhaps not there yet."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return home.absolute() / "shvit-mobile"


def resolve_cache_folder(variable: str, name: str) -> Path:
    """The folder that an environment variable names, or else `name` in the cache; absolute."""
    chosen = os.environ.get(variable)
    return Path(chosen).absolute() if chosen else get_cache_folder() / name
