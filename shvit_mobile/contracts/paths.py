"""The type of a path in a public function."""

import os

AnyPath = str | os.PathLike[str]
