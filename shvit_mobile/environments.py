"""Packages that cannot be installed beside this project's own: each set is in a folder of the cache.

The folder goes in front of Python's search path in processes of their own, which find everything else, PyTorch above
all, where this process does. So a set contains only what this project lacks, and pip resolves nothing: every package
has its exact version here.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from shvit_mobile.cache import get_cache_folder
from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.errors import ToolMissing
from shvit_mobile.processes import InstallFailed, check_pip, get_last_line, run_command
from shvit_mobile.progress import StepCallback

EnvironmentName = Literal["litert"]
_MARKER = "requirements.txt"  # written last


@dataclass(frozen=True)
class Environment:
    """A set of packages.

    Attributes:
        name: Its name on the command line.
        purpose: What it is for: "converts models for LiteRT".
        requirements: Every package with its version: "jax==0.10.2".
        libraries: What it takes from this project's installation and not every installation has, as imported.
        check: Python code that succeeds only if the packages work.
        size: What it takes, for people: "0.8 GB".
    """

    name: str
    purpose: str
    requirements: tuple[str, ...]
    libraries: tuple[str, ...]
    check: str
    size: str

    @property
    def folder(self) -> Path:
        """The folder in the cache; another one for other requirements and for another Python."""
        contents = "\n".join((sys.implementation.cache_tag, sys.platform, *self.requirements))
        return get_cache_folder() / "environments" / f"{self.name}-{sha256(contents.encode()).hexdigest()[:12]}"

    @property
    def is_installed(self) -> bool:
        """Whether the installation was completed."""
        return (self.folder / _MARKER).exists()

    @property
    def install_command(self) -> str:
        return f"shvit-mobile doctor --install {self.name}"

    def check_installed(self) -> None:
        """Raise `ToolMissing` if the environment is not installed."""
        if not self.is_installed:
            raise ToolMissing(
                f"The environment '{self.name}' is not installed.",
                why=f"It {self.purpose}, with packages that do not fit beside those of this project.",
                hint=f"Install it ({self.size}, once): {self.install_command}",
            )

    def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run this Python with the packages in front, and return its status and its output.

        Args:
            arguments: Those of Python, such as the path of a script and what it takes.

        Raises:
            ToolMissing: If the environment is not installed.
        """
        self.check_installed()
        return _run_python(self.folder, arguments)


ENVIRONMENTS: dict[EnvironmentName, Environment] = {
    "litert": Environment(
        name="litert",
        purpose="converts models for LiteRT",
        # Those that a conversion imports; litert-torch also declares some for language models.
        requirements=(
            "litert-torch==0.10.0",
            "litert-converter==0.5.0",
            "ai-edge-quantizer==0.10.0",
            "ai-edge-litert==2.3.0",
            "jax==0.10.2",
            "jaxlib==0.10.2",
            "ml-dtypes==0.6.0",
            "opt-einsum==3.4.0",
            "absl-py==2.5.1",
            "immutabledict==4.3.1",
        ),
        libraries=("scipy",),
        check=(
            "import torch, litert_torch\n"
            "layer = torch.nn.Conv2d(3, 4, 3).eval()\n"
            "images = torch.ones(1, 3, 8, 8)\n"
            "converted = litert_torch.convert(layer, (images,))\n"
            "assert torch.allclose(torch.from_numpy(converted(images)), layer(images), atol=1e-4)\n"
        ),
        size="0.8 GB",
    )
}


def install_environment(environment: Environment, progress: StepCallback | None = None) -> Path:
    """Install an environment, complete or not at all, and return its folder; do nothing if it is installed.

    Args:
        environment: One of `ENVIRONMENTS`.
        progress: Called before each step and at the end.

    Raises:
        ToolMissing: If pip is missing.
        InstallFailed: If pip cannot install a package, or the packages do not work.
    """
    final = environment.folder
    if environment.is_installed:
        return final
    report = progress or (lambda step, done, total: None)
    check_pip(f"It downloads the packages of the environment '{environment.name}'.")
    with write_atomically(final, folders={final: _MARKER}, overwrite=True) as (part,):
        report("Installing its packages", 0, 2)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
        run_command(
            [*pip, "--no-deps", "--only-binary=:all:", "--target", str(part), *environment.requirements],
            failure=(f"pip cannot install the environment '{environment.name}'.", ""),
        )
        report("Running it", 1, 2)
        _verify_environment(environment, part)
        (part / _MARKER).write_text("\n".join(environment.requirements) + "\n", encoding="utf-8")
    report("Running it", 2, 2)
    return final


def verify_environment(environment: Environment) -> None:
    """Run the check of an installed environment.

    Raises:
        InstallFailed: If it fails.
    """
    _verify_environment(environment, environment.folder)


def _verify_environment(environment: Environment, folder: Path) -> None:
    completed = _run_python(folder, ["-c", environment.check])
    if completed.returncode != 0:
        raise InstallFailed(
            f"The packages of the environment '{environment.name}' do not work.",
            why=get_last_line(completed.stderr) or f"Python ended with status {completed.returncode}.",
            hint=f"Delete {folder} and run: {environment.install_command}" if environment.is_installed else "",
        )


def _run_python(folder: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(folder), *filter(None, [os.environ.get("PYTHONPATH")])))
    # -P: the folder of a script is no place to import from.
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
