"""The model card that `shvit-mobile export --card` writes beside its artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shvit_mobile.errors import InvalidConfig

if TYPE_CHECKING:
    from .plan import Exported


def check_card_options(out: Path, card: bool, license: str | None, overwrite: bool) -> Path | None:
    """Where the card will be, once nothing is in its way; None where there will be none."""
    if license is not None and not card:
        raise InvalidConfig("--license is given without --card.", why="It stands in the model card.")
    if not card:
        return None

    from shvit_mobile.report.model_card import CARD_FILE, check_card, check_license

    if license is not None:
        check_license(license)
    check_card(out / CARD_FILE, overwrite=overwrite)
    return out / CARD_FILE


def write_card(path: Path, exported: Exported, license: str | None, validation: Path | None, overwrite: bool) -> None:
    """Puts the card of all artifacts beside them."""
    from shvit_mobile.contracts.outputs import write_atomically
    from shvit_mobile.report.model_card import UNKNOWN_LICENSE, render_model_card

    manifests = [artifact.manifest for artifact in exported.artifacts]
    images = "images" if validation is None else validation.resolve().name
    text = render_model_card(manifests, license=license or UNKNOWN_LICENSE, images=images)
    with write_atomically(path, overwrite=overwrite) as (part,):
        part.write_text(text)
