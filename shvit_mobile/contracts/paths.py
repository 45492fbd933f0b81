"""The type of a path in a public function."""

from __future__ import annotations

import os

AnyPath = str | os.PathLike[str]
