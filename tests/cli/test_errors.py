"""Errors of the library name parameters; the command line prints the flags of the command that ran."""

from __future__ import annotations

from typing import Any

import pytest
from typer.main import get_command

from shvit_mobile.cli.errors import convert_usage_error, replace_parameters
from shvit_mobile.cli.main import app
from shvit_mobile.errors import ShvitError

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("command", "text", "printed"),
    [
        ("export", "Set `overwrite=True`, or choose another `out`.", "Set --overwrite, or choose another --out."),
        ("export", "Use `max_drop=0.5`.", "Use --max-drop 0.5."),
        ("export", "`precision='int8'`", "--quantize int8"),
        ("export", "`variant='shvit_s2'` without `checkpoint`", "--model shvit_s2 without --checkpoint"),
        ("export", "`size=(192, 160)`", "--size 192x160"),
        ("export", "`mean=(0.5, 0.5, 0.5)`", "--mean 0.5 0.5 0.5"),
        ("export", "`checkpoint=my model.pth`", "--checkpoint 'my model.pth'"),
        ("export", "`validation`, `validation_count`", "--validate, --validate-count"),
        ("export", "`images`", "--validate"),
        ("export", "`classifier=False`, `dynamic_batch=False`", "--no-classifier, --static-batch"),
        ("validate", "`validation`, `validation_count`", "--images, --count"),
        ("calibrate", "`calibration` and `balanced=False`", "DIR and --sampling random"),
        # The library has shares where the command line has percent.
        ("export", "`min_agreement=0.985`", "--min-agreement 98.5"),
        ("benchmark", "`roofline=False`", "--no-roofline"),
        # Whatever is not a parameter of the command keeps its text.
        ("doctor", "`overwrite=True` and `pip install x`", "overwrite=True and pip install x"),
    ],
)
def test_parameters_become_flags_of_the_command(command: str, text: str, printed: str) -> None:
    error = ShvitError(text, why=text, hint=text)
    replace_parameters(error, COMMANDS[command].params)
    assert (error.what, error.why, error.hint) == (printed,) * 3


def test_a_usage_error_of_the_parser_keeps_its_text() -> None:
    class Reason:
        def format_message(self) -> str:
            return "No such option: --taget"

    assert convert_usage_error(Reason()).what == "No such option: --taget."
