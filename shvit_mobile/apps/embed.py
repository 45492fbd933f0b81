"""Copies artifacts into an app with manifest, goldens and labels, and removes them again."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from packaging.version import InvalidVersion, Version

from shvit_mobile.apps.projects import SYSTEM_NAMES, App, AppKind
from shvit_mobile.apps.record import RECORD_NAME, EmbeddedModel, EmbedRecord, find_changed_files, hash_files
from shvit_mobile.contracts.artifact import Artifact, get_goldens_path, get_manifest_path, read_goldens
from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes
from shvit_mobile.contracts.manifest import Delegate, QualifiedTarget, Target
from shvit_mobile.contracts.outputs import list_missing_folders, lock_folder, remove_folders_if_empty, write_atomically
from shvit_mobile.errors import BadApp, BadArtifact, OutputExists

_LABELS_NAME = "labels.txt"
_RUNNABLE_TARGETS: dict[AppKind, tuple[QualifiedTarget, ...]] = {
    "ios": ("coreml", "executorch", "executorch-coreml"),
    "android": ("executorch", "litert"),
}
# The library of ExecuTorch's backend for each delegate.
_BACKENDS: dict[Delegate, str] = {"xnnpack": "backend_xnnpack", "coreml": "backend_coreml"}


@dataclass(frozen=True)
class _Runtime:
    """A runtime that an app links in a version.

    Attributes:
        name: Its name.
        package: The Python package that ran the artifact, in the manifest's versions.
        runs_older: Whether it also runs what an older version ran.
        why: What happens in another version.
        declarations: What to write into which file of an app, by system; "{0}" stands for the version.
    """

    name: str
    package: str
    runs_older: bool
    why: str
    declarations: dict[AppKind, str]

    def runs(self, version: str, exporter_version: str) -> bool:
        """Return whether a version runs what the exporter's ran; a local suffix after a plus does not matter."""
        try:
            ours, theirs = Version(Version(version).public), Version(Version(exporter_version).public)
        except InvalidVersion:
            return version == exporter_version
        return ours >= theirs if self.runs_older else ours == theirs


_RUNTIMES: dict[Target, _Runtime] = {
    "executorch": _Runtime(
        "ExecuTorch",
        "executorch",
        runs_older=False,
        why="A program is only guaranteed to run with the version that wrote it.",
        declarations={
            "ios": "ExecuTorch {0} in Package.swift",
            "android": 'executorch = "{0}" in gradle/libs.versions.toml',
        },
    ),
    "litert": _Runtime(
        "LiteRT",
        "ai-edge-litert",
        runs_older=True,
        why="An older LiteRT may not know the model's operators.",
        declarations={"android": 'implementation("com.google.ai.edge.litert:litert:{0}") in app/build.gradle.kts'},
    ),
}


@dataclass(frozen=True)
class EmbedPlan:
    """An artifact to embed.

    Attributes:
        artifact: The artifact, with its goldens.
        folder: The folder to create.
        size_bytes: The size of all files to copy.
    """

    artifact: Artifact
    folder: Path
    size_bytes: int

    @property
    def name(self) -> str:
        return self.folder.name


def plan_embeds(artifacts: Iterable[Artifact], app: App, *, any_version: bool = False) -> tuple[EmbedPlan, ...]:
    """Check that artifacts are complete and run in `app`; with `any_version` its runtime may differ.

    Raises:
        BadArtifact: If one has no goldens or wrong ones, if the app's system cannot run it, or if two have one name.
        BadApp: If the app does not link the artifact's runtime, or links a version that may not run it.
    """
    plans = [_plan_embed(artifact, app) for artifact in artifacts]
    for index, one in enumerate(plans):
        if any(other.folder == one.folder for other in plans[:index]):
            raise BadArtifact(f"{one.artifact.path.name} is given twice.", why="Each model has a folder of its name.")
        if not any_version and (runtime := _RUNTIMES.get(one.artifact.manifest.target)):
            _check_runtime(one.artifact, runtime, app)
        # An app that names no ExecuTorch gets it from another package, whose backends are unknown.
        if app.kind == "ios" and app.pins:
            _check_backend(one.artifact, app)
    return tuple(plans)


def _plan_embed(artifact: Artifact, app: App) -> EmbedPlan:
    path, manifest = artifact.path, artifact.manifest
    if manifest.qualified_target not in _RUNNABLE_TARGETS[app.kind]:
        system = SYSTEM_NAMES[app.kind]
        raise BadArtifact(
            f"{path.name} cannot go into an {system} app: {manifest.qualified_target} artifacts do not run there.",
            why=f"Targets that run there: {', '.join(_RUNNABLE_TARGETS[app.kind])}.",
            hint=f"Export the model for the target {_RUNNABLE_TARGETS[app.kind][0]}.",
        )
    if app.kind == "ios":
        _check_kernels(artifact, app)
    read_goldens(artifact)
    size = sum(map(compute_size_bytes, (path, get_manifest_path(path), get_goldens_path(path))))
    return EmbedPlan(artifact, app.models / path.stem, size + len(_format_labels(artifact).encode()))


def _check_kernels(artifact: Artifact, app: App) -> None:
    """Raise `BadArtifact` if a program needs kernels that an iOS app does not link: it would not load."""
    delegation = artifact.manifest.delegation
    if delegation is None:
        return
    left = delegation.left_operators
    missing = {name: kernels[0] for name in left if not app.libraries.intersection(kernels := _list_kernels(name))}
    if missing:
        names, needed = sorted(missing), " and ".join(sorted(set(missing.values())))
        raise BadArtifact(
            f"{artifact.path.name} cannot run in this app, which links no kernels for {', '.join(names[:3])}"
            f"{f' and {len(names) - 3} more operators' if len(names) > 3 else ''}.",
            why=f"{delegation.backend} does not run them, and a program without its kernels does not load.",
            hint=f"Link ExecuTorch's {needed} in the app, or export the model again so that no operator is left.",
        )


def _check_backend(artifact: Artifact, app: App) -> None:
    """Raise `BadArtifact` if an iOS app does not link the backend that runs a program."""
    delegate = artifact.manifest.delegate
    if delegate is None or _BACKENDS[delegate] in app.libraries:
        return
    library = _BACKENDS[delegate]
    raise BadArtifact(
        f"{artifact.path.name} cannot run in this app, which does not link {library}.",
        why=f"ExecuTorch runs the program's delegate, {delegate}, with this library.",
        hint=f"Link {library} in the app, or export the model for another delegate.",
    )


def _list_kernels(operator: str) -> tuple[str, ...]:
    """Return the libraries that contain an operator's kernel; the first is that of the current ExecuTorch."""
    if operator.startswith("quantized_decomposed::"):
        return ("kernels_quantized",)
    return ("kernels_optimized", "kernels_portable")


def _check_runtime(artifact: Artifact, runtime: _Runtime, app: App) -> None:
    """Raise `BadApp` unless the app links a version of the runtime that runs the artifact."""
    name, writer = artifact.path.name, artifact.manifest.versions.get(runtime.package, "unknown")
    declaration = f"Write {runtime.declarations[app.kind].format(writer)}"
    newer, again = (" or newer", "") if runtime.runs_older else ("", ", export it again with {0}=={1}")
    pins = [pin for pin in app.pins if pin.target == artifact.manifest.target]
    if not pins:
        raise BadApp(
            f"{app.root} names no version of {runtime.name}, and {name} needs {writer}{newer}.",
            why=runtime.why,
            hint=f"{declaration}, or set `any_version=True`.",
        )
    for pin in pins:
        if not runtime.runs(pin.version, writer):
            need = f"needs {writer}{newer}" if runtime.runs_older else f"was written by {writer}"
            raise BadApp(
                f"The app links {runtime.name} {pin.version} ({os.path.relpath(pin.file, app.root)}), {name} {need}.",
                why=runtime.why,
                hint=f"{declaration}{again.format(runtime.package, pin.version)}, or set `any_version=True`.",
            )


def _format_labels(artifact: Artifact) -> str:
    """Return the class names in the order of the logits, one per line."""
    return "".join(" ".join(label.splitlines()) + "\n" for label in artifact.manifest.labels)


def check_embed_overwrite(plans: Sequence[EmbedPlan], app: App, *, overwrite: bool) -> None:
    """Raise `OutputExists` if a folder exists; `overwrite` only allows to replace what `embed_artifacts` wrote."""
    record = EmbedRecord.read(app.models)
    for one in plans:
        if not one.folder.exists():
            continue
        known = record.find_model(one.name)
        if _holds_copy(one) and (overwrite or known is None):
            continue  # an earlier process may have been killed before it wrote the record
        if known is None:
            raise OutputExists(
                f"{one.folder} already exists, and embed did not write it.",
                why="Embed never replaces files that it did not write.",
                hint="Move it away.",
            )
        if any(differing := find_changed_files(one.folder, known)):
            first = next(name for names in differing for name in names)
            raise OutputExists(
                f"{one.folder} was changed since it was embedded; the first file is {first}.",
                why="The changes would be lost.",
                hint="Move it away, or remove the embedded model with `overwrite=True`.",
            )
        if not overwrite:
            raise OutputExists(f"{one.folder} already exists.", hint="Set `overwrite=True` to replace it.")


def format_undo_command(app: App) -> str:
    return f"shvit-mobile embed --into {app.root} --undo"


def embed_artifacts(plans: Sequence[EmbedPlan], app: App, *, overwrite: bool = False) -> EmbedRecord:
    """Copy all artifacts into the app, or none of them; return the record of all embedded models.

    `overwrite` replaces models that were embedded before.

    Raises:
        OutputExists: If a folder already exists.
        BadApp: If the record cannot be read.
    """
    with lock_folder(app.root):  # two processes would each write a record without the other's models
        check_embed_overwrite(plans, app, overwrite=overwrite)
        before = EmbedRecord.read(app.models)
        made = before.made or len(list_missing_folders(app.models))
        ours = {one.folder: _LABELS_NAME for one in plans}
        with write_atomically(*ours, folders=ours, overwrite=True) as folders:
            new = tuple(_copy_artifact(one, folder) for one, folder in zip(plans, folders, strict=True))
        kept = before.drop_models({model.name for model in new})
        after = EmbedRecord(made=made, models=(*kept.models, *new))
        # By itself, in one step: it also knows the other models, and must not be missing for a moment.
        after.save(app.models / RECORD_NAME, overwrite=True)
    return after


def _copy_artifact(one: EmbedPlan, folder: Path) -> EmbeddedModel:
    """Copy an artifact into a new folder."""
    folder.mkdir()
    path = one.artifact.path
    for source in _list_sources(one):
        copy = folder / source.name
        shutil.copytree(source, copy) if source.is_dir() else shutil.copyfile(source, copy)
    (folder / _LABELS_NAME).write_text(_format_labels(one.artifact), encoding="utf-8")
    Artifact.open(folder / path.name)  # checks the copy
    return EmbeddedModel(
        name=one.name,
        artifact=path.name,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        size_bytes=compute_size_bytes(folder),
        files=hash_files(folder),
    )


def _list_sources(one: EmbedPlan) -> tuple[Path, Path, Path]:
    path = one.artifact.path
    return path, get_manifest_path(path), get_goldens_path(path)


def _holds_copy(one: EmbedPlan) -> bool:
    """Return whether the folder of an artifact already contains exactly what would be copied."""
    expected = {_LABELS_NAME: sha256(_format_labels(one.artifact).encode()).hexdigest()}
    for source in _list_sources(one):
        hashes = hash_files(source) if source.is_dir() else {"": compute_sha256(source)}
        expected |= {f"{source.name}/{name}".rstrip("/"): known for name, known in hashes.items()}
    return hash_files(one.folder) == expected


def select_removable_models(app: App, names: Sequence[str], *, overwrite: bool = False) -> tuple[EmbeddedModel, ...]:
    """Return the embedded models of these names, or all; `overwrite` includes those whose files were changed since.

    Raises:
        BadApp: If nothing was embedded, or nothing of that name.
        OutputExists: If a file was changed since, and `overwrite` is False.
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
                why="The changes would be lost.",
                hint="Set `overwrite=True` to delete it.",
            )
    return chosen


def remove_models(app: App, models: Sequence[EmbeddedModel]) -> tuple[Path, ...]:
    """Remove embedded models, and the folders that were created for them.

    Returns:
        The folders that stay because they contain other files.
    """
    with lock_folder(app.root):
        before = EmbedRecord.read(app.models)
        after = before.drop_models({model.name for model in models})
        for model in models:
            folder = app.models / model.name
            for name in hash_files(folder).keys() & model.files.keys():
                (folder / name).unlink()
            _remove_empty_subfolders(folder)
        if after.models:
            after.save(app.models / RECORD_NAME, overwrite=True)
        else:
            (app.models / RECORD_NAME).unlink()
            remove_folders_if_empty([app.models, *app.models.parents][: before.made])
    return tuple(app.models / model.name for model in models if (app.models / model.name).exists())


def _remove_empty_subfolders(folder: Path) -> None:
    """Remove a folder and its subfolders, except those that contain files."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
