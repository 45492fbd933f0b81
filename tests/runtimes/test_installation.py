"""Checks of the installation say what is wrong and what to install."""

from __future__ import annotations

from shvit_mobile.runtimes.installation import InstallationCheck, check_engine, check_package


def test_a_check_says_what_to_install() -> None:
    absent = check_package("no-such-package", ">=2", lambda *_, **__: True)
    assert absent == InstallationCheck(
        "no-such-package", "not installed", ">=2", False, "Try: pip install 'no-such-package>=2'"
    )
    other = check_package("rich", "<1", lambda *_, **__: False)
    assert not other.good
    assert other.hint == "Try: pip install 'rich<1'"

    def broken() -> str:
        raise ImportError("libsomething.so: cannot open\nmore")

    assert check_engine("engine", broken).found == "ImportError: libsomething.so: cannot open"
    assert not check_engine("engine", broken).good
