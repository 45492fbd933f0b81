"""Options: their choices are the library's, their help states their defaults, and earlier names stay accepted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

from shvit_mobile.bench.contestant import ENGINES
from shvit_mobile.cli import options
from shvit_mobile.cli.main import app
from shvit_mobile.contracts.budget_search import COST_NAMES
from shvit_mobile.contracts.manifest import DELEGATES, TARGET_SUFFIXES
from shvit_mobile.contracts.preprocessing import ChannelOrder, Interpolation, ResizeMode
from shvit_mobile.contracts.recipe import ACTIVATION_SCHEMES, OBSERVERS, PRECISIONS, PTQ_PASSES
from shvit_mobile.deploy.coreml_form import ATTENTION_LAYOUTS
from shvit_mobile.pipeline.defaults import CALIBRATION_COUNT
from shvit_mobile.runtimes.apple_profiler import APPLE_DEVICES
from shvit_mobile.runtimes.arm64.cpus import CPUS
from shvit_mobile.targets.coreml.options import DEPLOYMENT_TARGETS, INPUT_NAMES
from shvit_mobile.targets.executorch import HEADS, STEMS
from tests.cli.conftest import Call

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]


def get_literals(option: Any) -> tuple[str, ...]:
    """Return the choices of an option that takes one of them or nothing."""
    return get_args(get_args(get_args(option)[0])[0])


@pytest.mark.parametrize(
    ("choices", "names"),
    [
        (options.TargetChoice, (*TARGET_SUFFIXES, "all")),
        (options.DelegateChoice, DELEGATES),
        (options.PrecisionChoice, PRECISIONS),
        (options.EngineChoice, ENGINES),
        (options.CpuChoice, CPUS),
        (get_literals(options.Observer), OBSERVERS),
        (get_literals(options.Activations), ACTIVATION_SCHEMES),
        (get_literals(options.Cost), COST_NAMES),
        (get_literals(options.CostCpu), CPUS),
        (get_literals(options.Layout), ATTENTION_LAYOUTS),
        (get_literals(options.Input), INPUT_NAMES),
        (get_literals(options.DeploymentTarget), DEPLOYMENT_TARGETS),
        (get_literals(options.Stem), STEMS),
        (get_literals(options.Head), HEADS),
        (get_literals(options.OnDevice), APPLE_DEVICES),
        (get_literals(options.Resize), get_args(ResizeMode)),
        (get_literals(options.Interpolation), get_args(Interpolation)),
        (get_literals(options.ChannelOrder), get_args(ChannelOrder)),
    ],
)
def test_the_choices_are_those_of_the_library(choices: Any, names: Any) -> None:
    assert list(map(str, choices)) == list(names)


def test_every_pass_of_the_library_has_an_option() -> None:
    assert len(options.PassChoice) == len(PTQ_PASSES) + 1
    assert set(options.OLD_CHOICES.values()) == set(options.PassChoice) - {"none"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_states_every_default(command: str) -> None:
    for option in COMMANDS[command].params:
        if option.param_type_name == "option" and type(option.default) in (int, float, str, Path):
            assert f"(default: {option.default})" in option.help or option.show_default, option.name


@pytest.mark.parametrize("command", COMMANDS)
def test_help_starts_with_a_capital_and_avoids_the_old_dialect(command: str, call: Call) -> None:
    text = " ".join(call(command, "--help").stdout.split())
    assert not re.search(r"[;,.(] else\b|so many|by lot|nobody", text), text
    assert COMMANDS[command].help[0].isupper()


def test_the_calibration_count_in_the_help_is_the_default() -> None:
    (count,) = (option for option in COMMANDS["export"].params if option.name == "calibration_count")
    assert f"(default: {CALIBRATION_COUNT})" in count.help


def test_a_wrong_choice_gets_the_closest_one(call: Call) -> None:
    result = call("benchmark", "--engine", "onnxruntim")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: 'onnxruntim' is not an engine.\n       Engines: executorch, onnxruntime, ")
    assert result.stderr.endswith("Did you mean onnxruntime?\n")


def test_completion_offers_the_choices() -> None:
    program = Path(sys.executable).with_name("shvit-mobile")
    environment = {
        **os.environ,
        "_SHVIT_MOBILE_COMPLETE": "complete_bash",
        "COMP_WORDS": "shvit-mobile export --observer m",
        "COMP_CWORD": "3",
    }
    ended = subprocess.run([program], env=environment, capture_output=True, text=True, check=False, encoding="utf-8")
    assert ended.stdout.split() == ["min-max", "mse"], ended.stderr


def test_completion_can_be_installed(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("shvit-mobile")
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    ended = subprocess.run(
        [program, "--install-completion", "bash"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert ended.returncode == 0, ended.stderr
    assert "bash completion installed" in ended.stdout
    assert "_SHVIT_MOBILE_COMPLETE" in (tmp_path / ".bash_completions" / "shvit-mobile.sh").read_text(encoding="utf-8")
