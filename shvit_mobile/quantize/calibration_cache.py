"""The calibration cache: the results of a calibration in a folder, so that an interrupted one continues.

The folder's name is a hash of the checkpoint, the images and the settings. Results that depend on more, such as a
budget, are cheap to compute again from the cached ones.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter

from shvit_mobile.cache import get_cache_folder
from shvit_mobile.contracts.budget_search import SearchPoint
from shvit_mobile.contracts.files import read_text
from shvit_mobile.contracts.outputs import name_unwritable
from shvit_mobile.contracts.recipe import ActivationScheme, ObserverName, PTQPassName, Recipe
from shvit_mobile.contracts.sensitivity import SensitivityReport, get_row_name
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe, BadReport
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.quantize.overrides import CalibratedRecipe, ParameterOverrides, load_recipe, save_recipe
from shvit_mobile.quantize.sensitivity import SensitivityRow
from shvit_mobile.versions import VERSION

# Increase it when the same settings give other results.
_CACHE_VERSION = 2
_SENSITIVITY_ROW: TypeAdapter[SensitivityRow] = TypeAdapter(SensitivityRow)
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class CalibrationSettings:
    """The settings that a recipe depends on, as in `calibrate_recipe`."""

    observer: ObserverName
    activations: ActivationScheme
    steps: tuple[PTQPassName, ...]


@dataclass(frozen=True)
class CalibrationCache:
    """The cached results of one calibration.

    Attributes:
        folder: The folder; it is created when something is saved.
        steps: The PTQ passes of the finished recipe.
    """

    folder: Path
    steps: tuple[PTQPassName, ...]

    @classmethod
    def open(
        cls, deployed: DeployForm, images: ImageSet, settings: CalibrationSettings, home: Path | None = None
    ) -> CalibrationCache:
        """Return the cache of a model, its calibration images and settings (default of `home`: the user's cache)."""
        inputs = {
            "edition": _CACHE_VERSION,
            "package": VERSION,
            "checkpoint": deployed.trained.sha256,
            "task": deployed.trained.task,
            "takes": deployed.input_domain,
            "preprocessing": deployed.trained.preprocessing.as_fields(),
            "images": images.compute_sha256(),
            "use": images.account().model_dump(),
            **asdict(settings),
        }
        key = sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        return cls((home or get_cache_folder() / "calibrations") / key[:32], settings.steps)

    @property
    def recipe_file(self) -> Path:
        return self.folder / "recipe.json"

    def load_recipe(self) -> CalibratedRecipe | None:
        """Load the recipe as far as it has come; None if there is none, or if it is damaged."""
        if not self.recipe_file.exists():
            return None
        try:
            return load_recipe(self.recipe_file)
        except BadRecipe:
            return None

    def save_recipe(self, recipe: Recipe, overrides: ParameterOverrides | None) -> None:
        save_recipe(self.recipe_file, recipe, overrides, overwrite=True)

    def is_done(self, recipe: Recipe) -> bool:
        """Return whether every pass was tried."""
        return tuple(gain.step for gain in recipe.steps) == self.steps

    def get_rows_path(self, recipe: Recipe, images: int) -> Path:
        """Return the path of sensitivity rows; `images` is the requested number of images."""
        return self.folder / f"sensitivity-{recipe.sha256[:16]}-{images}.jsonl"

    def load_rows(self, recipe: Recipe, images: int) -> dict[str, SensitivityRow]:
        """Load the sensitivity rows, by layer and by block; ignore incomplete lines."""
        rows = load_lines(self.get_rows_path(recipe, images), _SENSITIVITY_ROW)
        return {get_row_name(row): row for row in rows}

    def append_row(self, recipe: Recipe, images: int, row: SensitivityRow) -> None:
        append_line(self.get_rows_path(recipe, images), row)

    def load_sensitivity(self, recipe: Recipe, images: int) -> SensitivityReport | None:
        """Load the finished report; None if there is none, or if it is damaged."""
        with suppress(BadReport):  # missing or damaged
            return SensitivityReport.load(self.get_rows_path(recipe, images).with_suffix(".json"))
        return None

    def save_sensitivity(self, recipe: Recipe, report: SensitivityReport, images: int) -> None:
        report.save(self.get_rows_path(recipe, images).with_suffix(".json"), overwrite=True)

    def get_points_path(self, recipe: Recipe, images: ImageSet) -> Path:
        return self.folder / f"points-{recipe.sha256[:16]}-{images.compute_sha256()[:16]}.jsonl"

    def load_points(self, recipe: Recipe, images: ImageSet) -> list[SearchPoint]:
        """Load the recipes that a budget search has tried on these images; ignore incomplete lines."""
        return load_lines(self.get_points_path(recipe, images), TypeAdapter(SearchPoint))

    def append_point(self, recipe: Recipe, images: ImageSet, point: SearchPoint) -> None:
        """Save a recipe that a budget search has tried."""
        append_line(self.get_points_path(recipe, images), point)


def append_line(file: Path, row: BaseModel) -> None:
    """Append a row to a file, which is created with its folder if it does not exist."""
    with name_unwritable(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(row.model_dump_json() + "\n")


def load_lines(file: Path, row_type: TypeAdapter[_Row]) -> list[_Row]:
    """Load the rows in a file that may be missing, be damaged, or end in an incomplete line, which is ignored."""
    rows, text = [], ""
    with suppress(BadReport):
        text = read_text(file, error=BadReport, what="a cache")
    for line in text.split("\n"):
        with suppress(ValueError):
            rows.append(row_type.validate_json(line))
    return rows
