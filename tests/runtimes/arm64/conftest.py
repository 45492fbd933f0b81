"""The embedded model as programs, which several files run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.pipeline.export import ExportConfig, export

Lowered = Callable[[Precision], Artifact]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Lowered:
    """The embedded model, exported to ExecuTorch in one precision, as the command does it without options."""
    folder = tmp_path_factory.mktemp("demo")

    @cache
    def exported(precision: Precision) -> Artifact:
        config = ExportConfig(targets=["executorch"], precisions=[precision], out=folder / precision)
        (artifact,) = export(config).artifacts
        return artifact

    return exported
