"""Embedding: artifacts copied into an app with manifest, goldens and labels; checked before, and undone by record."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from packaging.version import InvalidVersion, Version

from shvit_mobile.apps.projects import SYSTEMS, App, Kind, Pin
from shvit_mobile.apps.record import NAME, Embedded, EmbeddedModel, changes, fingerprints
from shvit_mobile.contracts.artifact import Artifact, goldens_path, manifest_path
from shvit_mobile.contracts.fingerprints import size_in_bytes
from shvit_mobile.contracts.goldens import read_goldens
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.outputs import missing_folders, remove_empty, whole
from shvit_mobile.errors import BadApp, BadArtifact, OutputExists

LABELS = "labels.txt"
RUNNABLE: dict[Kind, tuple[Target, ...]] = {"ios": ("coreml", "executorch"), "android": ("executorch",)}


@dataclass(frozen=True)
class Parcel:
    """One artifact on its way into an app.

    Attributes:
        artifact: with its goldens beside it.
        folder: where it goes.
        size_bytes: of all that goes there.
    """

    artifact: Artifact
    folder: Path
    size_bytes: int

    @property
    def name(self) -> str:
        return self.folder.name


def packed(artifacts: Iterable[Artifact], app: App, *, any_version: bool = False) -> tuple[Parcel, ...]:
    """The artifacts, once each is known to be whole and to run in `app`.

    Args:
        artifacts: from `Artifact.open`.
        app: from `open_app`.
        any_version: let the app's ExecuTorch be another than the exporter's.

    Raises:
        BadArtifact: one has no goldens, or not its own, or the app's system cannot run it, or two have one name.
        BadApp: the app links another ExecuTorch than the one that made a program, or none.
    """
    parcels = [parcel(artifact, app) for artifact in artifacts]
    for index, one in enumerate(parcels):
        if any(other.folder == one.folder for other in parcels[:index]):
            raise BadArtifact(f"{one.artifact.path.name} is given twice.", why="Each model has a folder by its name.")
        if one.artifact.manifest.target == "executorch" and not any_version:
            check_version(one.artifact, app)
    return tuple(parcels)


def parcel(artifact: Artifact, app: App) -> Parcel:
    path, manifest = artifact.path, artifact.manifest
    if manifest.target not in RUNNABLE[app.kind]:
        other = " For iOS: shvit-mobile embed --into ios_demo" if manifest.target == "coreml" else ""
        raise BadArtifact(
            f"{path.name} cannot go into an {SYSTEMS[app.kind]} app: {manifest.target} artifacts do not run there.",
            why=f"There run: {', '.join(RUNNABLE[app.kind])}.",
            hint=f"Make one: shvit-mobile export --target {RUNNABLE[app.kind][0]}.{other}",
        )
    read_goldens(artifact)
    size = sum(map(size_in_bytes, (path, manifest_path(path), goldens_path(path))))
    return Parcel(artifact, app.models / path.stem, size + len(labels_text(artifact).encode()))


def check_version(artifact: Artifact, app: App) -> None:
    """Raises `BadApp` unless the app links the ExecuTorch that wrote the program."""
    name, wrote = artifact.path.name, artifact.manifest.versions.get("executorch", "unknown")
    how = {"ios": "swiftpm-{0} in Package.swift", "android": 'executorch = "{0}" in gradle/libs.versions.toml'}
    wanted = how[app.kind].format(wrote)
    if not app.pins:
        raise BadApp(
            f"{app.root} names no version of ExecuTorch, and {name} needs {wrote}.",
            why="A program runs for certain only with the version that wrote it.",
            hint=f"Write {wanted}, or add --any-version.",
        )
    for pin in app.pins:
        if not same_version(pin, wrote):
            raise BadApp(
                f"The app links ExecuTorch {pin.version} ({pin.file.relative_to(app.root)}), {name} was written by "
                f"{wrote}.",
                why="A program runs for certain only with the version that wrote it.",
                hint=f"Write {wanted}, or export it again with executorch=={pin.version}, or add --any-version.",
            )


def same_version(pin: Pin, wrote: str) -> bool:
    """Whether both are one version, whatever stands behind a plus."""
    try:
        return Version(pin.version).public == Version(wrote).public
    except InvalidVersion:
        return pin.version == wrote


def labels_text(artifact: Artifact) -> str:
    """The class names in the order of the logits, one a line."""
    return "".join(" ".join(label.splitlines()) + "\n" for label in artifact.manifest.labels)


def check_room(parcels: Sequence[Parcel], app: App, *, overwrite: bool) -> None:
    """Raises `OutputExists` where something is in the way: what `embed` put there may be replaced if asked, no more."""
    record = Embedded.read(app.models)
    for one in parcels:
        if not one.folder.exists():
            continue
        known = record.model(one.name)
        if known is None:
            raise OutputExists(
                f"{one.folder} is already there, and embed did not put it there.",
                why="What is not embed's own is never replaced.",
                hint="Move it away.",
            )
        if any(differing := changes(one.folder, known)):
            first = next(name for names in differing for name in names)
            raise OutputExists(
                f"{one.folder} was changed since it was embedded, the first file is {first}.",
                why="It would be lost.",
                hint=f"Move it away, or take it out: {undo_command(app)} --overwrite",
            )
        if not overwrite:
            raise OutputExists(f"{one.folder} is already there.", hint="Add --overwrite to replace it.")


def undo_command(app: App) -> str:
    return f"shvit-mobile embed --into {app.root} --undo"


def embed(parcels: Sequence[Parcel], app: App, *, overwrite: bool = False) -> Embedded:
    """Copies all parcels into the app, or none of them.

    Args:
        parcels: from `packed`.
        app: for which they were packed.
        overwrite: replace what was embedded before.

    Returns:
        what is embedded now.

    Raises:
        OutputExists: something is in the way.
        BadApp: the record of what was embedded cannot be read.
    """
    check_room(parcels, app, overwrite=overwrite)
    before = Embedded.read(app.models)
    made = before.made or len(missing_folders(app.models))
    finals = (*(one.folder for one in parcels), app.models / NAME)
    ours = {one.folder: LABELS for one in parcels}
    with whole(*finals, folders=ours, overwrite=True) as (*folders, record):
        new = tuple(copied(one, folder) for one, folder in zip(parcels, folders, strict=True))
        kept = before.without({model.name for model in new})
        after = Embedded(made=made, models=(*kept.models, *new))
        record.write_text(after.json_text())
    return after


def copied(one: Parcel, folder: Path) -> EmbeddedModel:
    """Writes a parcel into a new folder."""
    folder.mkdir()
    path = one.artifact.path
    for source in (path, manifest_path(path), goldens_path(path)):
        copy = folder / source.name
        shutil.copytree(source, copy) if source.is_dir() else shutil.copyfile(source, copy)
    (folder / LABELS).write_text(labels_text(one.artifact), encoding="utf-8")
    Artifact.open(folder / path.name)  # what was copied, and not what was there a moment ago
    return EmbeddedModel(
        name=one.name,
        artifact=path.name,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        size_bytes=size_in_bytes(folder),
        files=fingerprints(folder),
    )


def removable(app: App, names: Sequence[str], *, overwrite: bool = False) -> tuple[EmbeddedModel, ...]:
    """What `undo` would take out.

    Args:
        app: from `open_app`.
        names: of the models; all that were embedded if empty.
        overwrite: those too whose files were changed since.

    Raises:
        BadApp: nothing was embedded, or nothing of that name.
        OutputExists: a file was changed since, and `overwrite` is not asked for.
    """
    record = Embedded.read(app.models)
    for name in names:
        if record.model(name) is None:
            known = ", ".join(model.name for model in record.models) or "nothing"
            raise BadApp(f"{name} was not embedded into {app.root}.", why=f"Embedded there: {known}.")
    if not record.models:
        raise BadApp(f"Nothing was embedded into {app.root}.", why=f"There is no {app.models / NAME}.")
    chosen = tuple(model for model in record.models if not names or model.name in names)
    for model in chosen:
        changed, _ = changes(app.models / model.name, model)
        if changed and not overwrite:
            raise OutputExists(
                f"{app.models / model.name / changed[0]} was changed since it was embedded.",
                why="What someone changed is not deleted unasked.",
                hint="Add --overwrite to delete it.",
            )
    return chosen


def undo(app: App, models: Sequence[EmbeddedModel]) -> tuple[Path, ...]:
    """Takes out what was embedded, and the folders that were made for it.

    Args:
        app: from `open_app`.
        models: from `removable`.

    Returns:
        the folders that stay, since someone put files into them.
    """
    before = Embedded.read(app.models)
    after = before.without({model.name for model in models})
    for model in models:
        folder = app.models / model.name
        for name in fingerprints(folder).keys() & model.files.keys():
            (folder / name).unlink()
        remove_empty_below(folder)
    if after.models:
        with whole(app.models / NAME, overwrite=True) as (record,):
            record.write_text(after.json_text())
    else:
        (app.models / NAME).unlink()
        remove_empty([app.models, *app.models.parents][: before.made])
    return tuple(app.models / model.name for model in models if (app.models / model.name).exists())


def remove_empty_below(folder: Path) -> None:
    """Removes a folder and those in it, but for what still holds files."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
