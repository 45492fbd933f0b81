"""`shvit-mobile`: the commands and their common options."""

import os
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .benchmark import benchmark
from .calibrate import calibrate
from .demo import demo
from .devices import devices
from .doctor import doctor
from .embed import embed
from .errors import DEBUG_VARIABLE, INVALID_INPUT, ErrorReportingGroup
from .export import export
from .finetune import finetune
from .inspect import inspect
from .options import replace_old_choice
from .phone import phone
from .report import report
from .sweep import sweep
from .validate import validate


class _PanelCommand(TyperCommand):
    """A command, whose options are shown in panels.

    The list of commands needs no panels, and is printed in half the time without Rich: see `rich_markup_mode` below.
    """

    def __init__(self, *args: Any, **extra: Any) -> None:
        super().__init__(*args, **{**extra, "rich_markup_mode": "rich"})


app = typer.Typer(
    name="shvit-mobile",
    cls=ErrorReportingGroup,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=True,
    epilog="Exit status: 0 success, 1 a gate or a check failed, 2 invalid input, 70 a bug in shvit-mobile, 129, 130 or "
    "143 ended by a signal.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from shvit_mobile.versions import VERSION

        typer.echo(f"shvit-mobile {VERSION}")
        raise typer.Exit


@app.callback()
def _set_global_options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help=f"Print tracebacks, as with {DEBUG_VARIABLE}=1.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Convert trained vision models, SHViT first, for phones: Core ML, ExecuTorch and ONNX.

    Every artifact is run and compared with the checkpoint before you ship it.
    """
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(INVALID_INPUT)


COMMANDS = (
    *(export, calibrate, finetune, validate, benchmark, sweep, phone, devices, report, inspect, embed, doctor, demo),
)
for command in COMMANDS:
    app.command(cls=_PanelCommand, context_settings={"token_normalize_func": replace_old_choice})(command)
