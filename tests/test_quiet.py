"""A missing library and one that cannot be loaded get different errors."""

import sys
from pathlib import Path

import pytest

from shvit_mobile.errors import ToolMissing
from shvit_mobile.quiet import REQUIREMENTS, import_library


def test_only_a_library_that_is_missing_is_called_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REQUIREMENTS, "shvit_test_library", "shvit-test-library==1.0")
    with pytest.raises(ToolMissing, match="is not installed"):
        import_library("shvit_test_library.part", "It is a test.")
    (tmp_path / "shvit_test_library.py").write_text("raise ImportError('initialization failed')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ToolMissing, match="cannot be loaded: initialization failed"):
        import_library("shvit_test_library", "It is a test.")
    assert "shvit_test_library" not in sys.modules
