"""Embedding: artifacts copied into an app with manifest, goldens and labels; checked before, and undone by record."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from packaging.version import InvalidVersion, Version

from shvit_mobile.apps.projects import SYSTEM_NAMES, App, AppKind, ExecuTorchPin
from shvit_mobile.apps.record import RECORD_NAME, EmbeddedModel, EmbedRecord, find_changed_files, hash_files
from shvit_mobile.contracts.artifact import Artifact, get_goldens_path, get_manifest_path
from shvit_mobile.contracts.fingerprints import compute_size_bytes
from shvit_mobile.contracts.goldens import read_goldens
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.outputs import list_missing_folders, remove_folders_if_empty, write_atomically
from shvit_mobile.errors import BadApp, BadArtifact, OutputExists

LABELS_NAME = "labels.txt"
RUNNABLE_TARGETS: dict[AppKind, tuple[Target, ...]] = {"ios": ("coreml", "executorch"), "android": ("executorch",)}


@dataclass(frozen=True)
class EmbedPlan:
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


def plan_embeds(artifacts: Iterable[Artifact], app: App, *, any_version: bool = False) -> tuple[EmbedPlan, ...]:
    """The artifacts, once each is known to be whole and to run in `app`.

    Args:
        artifacts: from `Artifact.open`.
        app: from `open_app`.
        any_version: let the app's ExecuTorch be another than the exporter's.

    Raises:
        BadArtifact: one has no goldens, or not its own, or the app's system cannot run it, or two have one name.
        BadApp: the app links another ExecuTorch than the one that made a program, or none.
    """
    parcels = [plan_embed(artifact, app) for artifact in artifacts]
    for index, one in enumerate(parcels):
        if any(other.folder == one.folder for other in parcels[:index]):
            raise BadArtifact(f"{one.artifact.path.name} is given twice.", why="Each model has a folder by its name.")
        if one.artifact.manifest.target == "executorch" and not any_version:
            check_executorch_version(one.artifact, app)
    return tuple(parcels)


def plan_embed(artifact: Artifact, app: App) -> EmbedPlan:
    path, manifest = artifact.path, artifact.manifest
    if manifest.target not in RUNNABLE_TARGETS[app.kind]:
        other = " For iOS: shvit-mobile embed --into ios_demo" if manifest.target == "coreml" else ""
        raise BadArtifact(
            f"{path.name} cannot go into an {SYSTEM_NAMES[app.kind]} app: {manifest.target} artifacts do not run there.",
            why=f"There run: {', '.join(RUNNABLE_TARGETS[app.kind])}.",
            hint=f"Make one: shvit-mobile export --target {RUNNABLE_TARGETS[app.kind][0]}.{other}",
        )
    read_goldens(artifact)
    size = sum(map(compute_size_bytes, (path, get_manifest_path(path), get_goldens_path(path))))
    return EmbedPlan(artifact, app.models / path.stem, size + len(format_labels(artifact).encode()))


def check_executorch_version(artifact: Artifact, app: App) -> None:
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
        if not is_same_version(pin, wrote):
            raise BadApp(
                f"The app links ExecuTorch {pin.version} ({pin.file.relative_to(app.root)}), {name} was written by "
                f"{wrote}.",
                why="A program runs for certain only with the version that wrote it.",
                hint=f"Write {wanted}, or export it again with executorch=={pin.version}, or add --any-version.",
            )


def is_same_version(pin: ExecuTorchPin, exporter_version: str) -> bool:
    """Whether both are one version, whatever stands behind a plus."""
    try:
        return Version(pin.version).public == Version(exporter_version).public
    except InvalidVersion:
        return pin.version == exporter_version


def format_labels(artifact: Artifact) -> str:
    """The class names in the order of the logits, one a line."""
    return "".join(" ".join(label.splitlines()) + "\n" for label in artifact.manifest.labels)


def check_embed_overwrite(parcels: Sequence[EmbedPlan], app: App, *, overwrite: bool) -> None:
    """Raises `OutputExists` where something is in the way: what `embed_artifacts` put there may be replaced if asked, no more."""
    record = EmbedRecord.read(app.models)
    for one in parcels:
        if not one.folder.exists():
            continue
        known = record.find_model(one.name)
        if known is None:
            raise OutputExists(
                f"{one.folder} is already there, and embed did not put it there.",
                why="What is not embed's own is never replaced.",
                hint="Move it away.",
            )
        if any(differing := find_changed_files(one.folder, known)):
            first = next(name for names in differing for name in names)
            raise OutputExists(
                f"{one.folder} was changed since it was embedded, the first file is {first}.",
                why="It would be lost.",
                hint=f"Move it away, or take it out: {format_undo_command(app)} --overwrite",
            )
        if not overwrite:
            raise OutputExists(f"{one.folder} is already there.", hint="Add --overwrite to replace it.")


def format_undo_command(app: App) -> str:
    return f"shvit-mobile embed --into {app.root} --undo"


def embed_artifacts(parcels: Sequence[EmbedPlan], app: App, *, overwrite: bool = False) -> EmbedRecord:
    """Copies all parcels into the app, or none of them.

    Args:
        parcels: from `plan_embeds`.
        app: for which they were packed.
        overwrite: replace what was embedded before.

    Returns:
        what is embedded now.

    Raises:
        OutputExists: something is in the way.
        BadApp: the record of what was embedded cannot be read.
    """
    check_embed_overwrite(parcels, app, overwrite=overwrite)
    before = EmbedRecord.read(app.models)
    made = before.made or len(list_missing_folders(app.models))
    finals = (*(one.folder for one in parcels), app.models / RECORD_NAME)
    ours = {one.folder: LABELS_NAME for one in parcels}
    with write_atomically(*finals, folders=ours, overwrite=True) as (*folders, record):
        new = tuple(copy_artifact(one, folder) for one, folder in zip(parcels, folders, strict=True))
        kept = before.drop_models({model.name for model in new})
        after = EmbedRecord(made=made, models=(*kept.models, *new))
        record.write_text(after.to_json())
    return after


def copy_artifact(one: EmbedPlan, folder: Path) -> EmbeddedModel:
    """Writes a parcel into a new folder."""
    folder.mkdir()
    path = one.artifact.path
    for source in (path, get_manifest_path(path), get_goldens_path(path)):
        copy = folder / source.name
        shutil.copytree(source, copy) if source.is_dir() else shutil.copyfile(source, copy)
    (folder / LABELS_NAME).write_text(format_labels(one.artifact), encoding="utf-8")
    Artifact.open(folder / path.name)  # what was copied, and not what was there a moment ago
    return EmbeddedModel(
        name=one.name,
        artifact=path.name,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        size_bytes=compute_size_bytes(folder),
        files=hash_files(folder),
    )


def select_removable_models(app: App, names: Sequence[str], *, overwrite: bool = False) -> tuple[EmbeddedModel, ...]:
    """What `remove_models` would take out.

    Args:
        app: from `open_app`.
        names: of the models; all that were embedded if empty.
        overwrite: those too whose files were changed since.

    Raises:
        BadApp: nothing was embedded, or nothing of that name.
        OutputExists: a file was changed since, and `overwrite` is not asked for.
    """
    record = EmbedRecord.read(app.models)
    for name in names:
        if record.find_model(name) is None:
            known = ", ".join(model.name for model in record.models) or "nothing"
            raise BadApp(f"{name} was not embedded into {app.root}.", why=f"Embedded there: {known}.")
    if not record.models:
        raise BadApp(f"Nothing was embedded into {app.root}.", why=f"There is no {app.models / RECORD_NAME}.")
    chosen = tuple(model for model in record.models if not names or model.name in names)
    for model in chosen:
        changed, _ = find_changed_files(app.models / model.name, model)
        if changed and not overwrite:
            raise OutputExists(
                f"{app.models / model.name / changed[0]} was changed since it was embedded.",
                why="What someone changed is not deleted unasked.",
                hint="Add --overwrite to delete it.",
            )
    return chosen


def remove_models(app: App, models: Sequence[EmbeddedModel]) -> tuple[Path, ...]:
    """Takes out what was embedded, and the folders that were made for it.

    Args:
        app: from `open_app`.
        models: from `select_removable_models`.

    Returns:
        the folders that stay, since someone put files into them.
    """
    before = EmbedRecord.read(app.models)
    after = before.drop_models({model.name for model in models})
    for model in models:
        folder = app.models / model.name
        for name in hash_files(folder).keys() & model.files.keys():
            (folder / name).unlink()
        remove_empty_subfolders(folder)
    if after.models:
        with write_atomically(app.models / RECORD_NAME, overwrite=True) as (record,):
            record.write_text(after.to_json())
    else:
        (app.models / RECORD_NAME).unlink()
        remove_folders_if_empty([app.models, *app.models.parents][: before.made])
    return tuple(app.models / model.name for model in models if (app.models / model.name).exists())


def remove_empty_subfolders(folder: Path) -> None:
    """Removes a folder and those in it, but for what still holds files."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
