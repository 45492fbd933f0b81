"""A study: what a calibration has found so far, kept in a folder of the cache, so that it goes on where it was left.

The folder's name is a hash of the checkpoint, the images and the settings. Whatever depends on anything else, a budget
for one, is cheap to ask again of what is there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from shvit_mobile.cache import get_cache_folder
from shvit_mobile.contracts.budget_search import SearchPoint
from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.contracts.recipe import ActivationScheme, ObserverName, PTQPassName, Recipe
from shvit_mobile.contracts.sensitivity import BlockSensitivity, LayerSensitivity, SensitivityReport, get_row_name
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.quantize.overrides import CalibratedRecipe, ParameterOverrides, load_recipe, save_recipe

# Counts up when the same settings come to mean something else.
CACHE_VERSION = 1
SensitivityRow = LayerSensitivity | BlockSensitivity


@dataclass(frozen=True)
class CalibrationSettings:
    """All that a recipe depends on besides the checkpoint and the images.

    Attributes:
        observer: how ranges follow from values.
        activations: how int8 spreads over them.
        steps: towards a better int8.
    """

    observer: ObserverName
    activations: ActivationScheme
    steps: tuple[PTQPassName, ...]


@dataclass(frozen=True)
class CalibrationCache:
    """One folder.

    Attributes:
        folder: made when something is kept in it.
        steps: that its recipe is to have gone through.
    """

    folder: Path
    steps: tuple[PTQPassName, ...]

    @classmethod
    def open(
        cls, deployed: DeployForm, images: ImageSet, settings: CalibrationSettings, home: Path | None = None
    ) -> CalibrationCache:
        """The study of a model, of images chosen for it, and of settings."""
        told = {
            "edition": CACHE_VERSION,
            "package": version("shvit-mobile"),
            "checkpoint": deployed.trained.sha256,
            "takes": deployed.input_domain,
            "preprocessing": asdict(deployed.trained.preprocessing),
            "images": images.compute_sha256(),
            **asdict(settings),
        }
        key = sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
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
        """Whether every step was tried."""
        return tuple(gain.step for gain in recipe.steps) == self.steps

    def get_rows_path(self, recipe: Recipe, images: int) -> Path:
        """Of so many images asked for, whether or not all of them could be read."""
        return self.folder / f"sensitivity-{recipe.sha256[:16]}-{images}.jsonl"

    def load_rows(self, recipe: Recipe, images: int) -> dict[str, SensitivityRow]:
        """The rows of sensitivity that are there, by layer and by block; a line that is not whole does not count."""
        file = self.get_rows_path(recipe, images)
        found: dict[str, SensitivityRow] = {}
        for line in file.read_text().splitlines() if file.exists() else ():
            try:
                values = json.loads(line)
                row: SensitivityRow = (
                    BlockSensitivity.model_validate(values)
                    if "block" in values
                    else LayerSensitivity.model_validate(values)
                )
            except ValueError:
                continue
            found[get_row_name(row)] = row
        return found

    def append_row(self, recipe: Recipe, images: int, row: SensitivityRow) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.get_rows_path(recipe, images).open("a") as file:
            file.write(row.model_dump_json() + "\n")

    def load_sensitivity(self, recipe: Recipe, images: int) -> SensitivityReport | None:
        """The finished document, where there is one."""
        file = self.get_rows_path(recipe, images).with_suffix(".json")
        return SensitivityReport.load(file) if file.exists() else None

    def save_sensitivity(self, recipe: Recipe, found: SensitivityReport, images: int) -> None:
        with write_atomically(self.get_rows_path(recipe, images).with_suffix(".json"), overwrite=True) as (path,):
            path.write_text(found.to_json())

    def get_points_path(self, recipe: Recipe, images: ImageSet) -> Path:
        return self.folder / f"points-{recipe.sha256[:16]}-{images.compute_sha256()[:16]}.jsonl"

    def load_points(self, recipe: Recipe, images: ImageSet) -> list[SearchPoint]:
        """Load the recipes that a budget search has tried on these images; ignore incomplete lines."""
        file = self.get_points_path(recipe, images)
        points = []
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            try:
                points.append(SearchPoint.model_validate_json(line))
            except ValueError:
                continue
        return points

    def append_point(self, recipe: Recipe, images: ImageSet, point: SearchPoint) -> None:
        """Save a recipe that a budget search has tried."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.get_points_path(recipe, images).open("a", encoding="utf-8") as file:
            file.write(point.model_dump_json() + "\n")
