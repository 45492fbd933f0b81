"""The cache of downloads."""

import os
from pathlib import Path

import platformdirs


def get_cache_folder() -> Path:
    """Return the cache folder of this program: on Linux `shvit-mobile` in $XDG_CACHE_HOME or ~/.cache.

    The path is absolute; the folder may not exist yet.
    """
    return platformdirs.user_cache_path("shvit-mobile", appauthor=False).absolute()


def resolve_cache_folder(variable: str, name: str) -> Path:
    """Return the folder in an environment variable or, if it is not set, `name` in the cache; absolute."""
    value = os.environ.get(variable)
    return Path(value).absolute() if value else get_cache_folder() / name
