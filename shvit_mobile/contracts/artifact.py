"""An artifact on disk: a file or package, with its manifest, recipe and goldens beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.contracts.document import has_checksum
from shvit_mobile.contracts.files import check_file, read_text
from shvit_mobile.contracts.fingerprints import compute_sha256, compute_size_bytes
from shvit_mobile.contracts.goldens import GOLDENS_NAME, Goldens
from shvit_mobile.contracts.manifest import (
    TARGET_SUFFIXES,
    Delegate,
    Manifest,
    Target,
    Task,
    find_samples_fault,
    qualify_target,
)
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.recipe import Recipe, get_overrides_path
from shvit_mobile.errors import BadArtifact, ShvitError

MANIFEST_SUFFIX = ".manifest.json"
EXPORT_AGAIN_HINT = "Export it again."
MAX_ARTIFACT_BYTES = 2 << 30  # as much as protobuf carries, and more than ten times the largest model


@dataclass(frozen=True)
class Artifact:
    """An artifact on disk.

    Attributes:
        path: Its file, or its folder.
        manifest: Its manifest.
        notes: What could not be checked, or is doubtful, a sentence each.
    """

    path: Path
    manifest: Manifest
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, path: AnyPath) -> Artifact:
        """Open the artifact at `path`, and check its manifest against it and against all that is beside it.

        Raises:
            BadArtifact: If there is no artifact; if its manifest is missing, invalid, or contradicts the artifact's
                name, size or SHA-256, its recipe, or its goldens.
            BadRecipe: If the recipe beside it is invalid.
        """
        path = Path(path)
        check_artifact_name(path, BadArtifact)
        if not path.exists():
            raise BadArtifact(f"{path} does not exist.", hint="Export one first.")
        if path.suffix not in TARGET_SUFFIXES.values():
            raise BadArtifact(
                f"{path} is not an artifact.", why=f"Artifacts end in {', '.join(TARGET_SUFFIXES.values())}."
            )
        if not path.is_dir():
            check_file(path, limit=MAX_ARTIFACT_BYTES, error=BadArtifact, what="an artifact")
        text = read_text(get_manifest_path(path), error=BadArtifact, what=Manifest.TITLE)
        manifest = Manifest.parse(text, str(get_manifest_path(path)))
        note = f"{get_manifest_path(path).name} has no checksum: an earlier version wrote it, so edits are not noticed."
        notes = () if has_checksum(text) else (note,)
        artifact = cls(path, manifest, (*notes, *list_unproven_notes(manifest)))
        artifact._check_file()
        artifact._check_recipe()
        if manifest.goldens is not None and get_goldens_path(path).exists():
            read_goldens(artifact)
        return artifact

    def _check_file(self) -> None:
        """Raise `BadArtifact` if name, size or SHA-256 differ from the manifest."""
        path, known = self.path, self.manifest.artifact
        if path.resolve().name != known.name != path.name:
            raise BadArtifact(
                f"{path} is not the file its manifest describes: that one is called {known.name}.",
                why="Apps and device reports know an artifact by this name.",
                hint=f"Give it and the files beside it the name {Path(known.name).stem} again.",
            )
        actual = compute_sha256(path)
        if actual != known.sha256:
            raise BadArtifact(
                f"{path} is not the file its manifest describes.",
                why=f"Its SHA-256 is {actual[:12]}…, the manifest has {known.sha256[:12]}…: "
                "the artifact was changed or damaged after the export.",
                hint=EXPORT_AGAIN_HINT,
            )
        size = compute_size_bytes(path)
        if size != known.bytes:
            raise BadArtifact(f"{path} has {size} bytes, its manifest says {known.bytes}.", hint=EXPORT_AGAIN_HINT)

    def _check_recipe(self) -> None:
        """Raise `BadArtifact` if the recipe or the overrides beside the artifact are not those of its manifest."""
        file, recipe = get_recipe_path(self.path), self.manifest.recipe
        if file.exists() and Recipe.load(file) != recipe:
            raise BadArtifact(
                f"{file} is not the recipe that the manifest of {self.path.name} holds.",
                why="One of them was changed after the export.",
                hint=EXPORT_AGAIN_HINT,
            )
        overrides = get_overrides_path(file)
        if recipe.corrections is not None and overrides.exists() and compute_sha256(overrides) != recipe.corrections:
            raise BadArtifact(
                f"{overrides} does not hold the overrides of {self.path.name}.",
                why="Its SHA-256 is not the one in the manifest's recipe.",
                hint=EXPORT_AGAIN_HINT,
            )

    def check_goldens(self) -> None:
        """Raise `BadArtifact` if the goldens beside the artifact are missing or differ from its manifest."""
        folder, known = get_goldens_path(self.path), self.manifest.goldens
        if known is None:
            return
        if not folder.is_dir():
            raise BadArtifact(
                f"The goldens of {self.path} are missing.",
                why=f"They should be beside it, in the folder {known.name}.",
                hint="Copy that folder here, or export it again.",
            )
        actual = compute_sha256(folder)
        if actual != known.sha256:
            raise BadArtifact(
                f"{folder} does not contain the goldens its manifest describes.",
                why=f"Their SHA-256 is {actual[:12]}…, the manifest has {known.sha256[:12]}…: a file was "
                "changed, added or deleted after the export.",
                hint=EXPORT_AGAIN_HINT,
            )


def read_goldens(artifact: Artifact) -> Goldens:
    """Load the goldens beside an artifact.

    Raises:
        BadArtifact: If they are missing, were changed, or contradict the manifest.
    """
    name, manifest = artifact.path.name, artifact.manifest
    if manifest.goldens is None:
        raise BadArtifact(f"{name} has no goldens.", why="An earlier version exported it.", hint=EXPORT_AGAIN_HINT)
    artifact.check_goldens()
    goldens = Goldens.load(get_goldens_path(artifact.path) / GOLDENS_NAME)
    if goldens.artifact_sha256 != manifest.artifact.sha256:
        raise BadArtifact(
            f"The goldens beside {name} belong to another artifact.",
            why=f"The SHA-256 of that artifact is {goldens.artifact_sha256[:12]}….",
            hint=EXPORT_AGAIN_HINT,
        )
    classes = manifest.model.classes if manifest.task == "classify" else 0  # a detector has classes and no logits
    pairs = {
        "preprocessing": (goldens.preprocessing, manifest.preprocessing),
        "precision": (goldens.precision, manifest.precision),
        "number of classes": (len(goldens.images[0].logits), classes),
        "set of outputs": (find_samples_fault(goldens.sampled_outputs, manifest.output.maps), ""),
        "tolerance": (goldens.tolerance, manifest.golden.tolerance if manifest.golden else goldens.tolerance),
    }
    for what, (stated, expected) in pairs.items():
        if stated != expected:
            raise BadArtifact(
                f"The goldens beside {name} have another {what} than its manifest.",
                why=f"It is {stated} there, and {expected} in the manifest.",
                hint=EXPORT_AGAIN_HINT,
            )
    return goldens


def list_unproven_notes(manifest: Manifest) -> tuple[str, ...]:
    """Return a sentence if an artifact is unproven."""
    if not manifest.is_unproven:
        return ()
    return (
        f"{manifest.artifact.name} is unproven: ExecuTorch's {manifest.delegate} delegate runs on phones only, so the "
        "artifact was never run, nor compared with its checkpoint.",
    )


def check_artifact_name(path: Path, error: type[ShvitError]) -> None:
    """Raise `error` if a path is not UTF-8: the engines and converters, which are C++, take no other one."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise error(
            f"{path} is not UTF-8.", why="The engines take no other names of artifacts.", hint="Use another name."
        ) from None


def get_manifest_path(artifact: Path) -> Path:
    """Return the path of the manifest of the artifact at `artifact`."""
    return artifact.with_suffix(MANIFEST_SUFFIX)


def find_artifact(manifest: Path, target: Target) -> Path | None:
    """Return the artifact of a target beside its manifest; None if it is not there."""
    artifact = manifest.with_name(manifest.name.removesuffix(MANIFEST_SUFFIX) + TARGET_SUFFIXES[target])
    return artifact if artifact.exists() else None


def get_recipe_path(artifact: Path) -> Path:
    """Return the path of the recipe of the artifact at `artifact`."""
    return artifact.with_suffix(".recipe.json")


def get_goldens_path(artifact: Path) -> Path:
    """Return the folder of the goldens of the artifact at `artifact`."""
    return artifact.with_suffix(".goldens")


def list_artifact_files(artifact: Path) -> tuple[Path, Path, Path, Path]:
    """Return what every export writes: the artifact, its recipe, its goldens and, last, its manifest.

    A recipe with parameter overrides also has the file `shvit_mobile.contracts.recipe.get_overrides_path`.
    """
    return artifact, get_recipe_path(artifact), get_goldens_path(artifact), get_manifest_path(artifact)


def format_size(size: tuple[int, int]) -> str:
    """Return a size, (height, width), as names of files have it: "224", or "192x160"."""
    height, width = size
    return f"{height}" if height == width else f"{height}x{width}"


def format_artifact_name(
    variant: str,
    size: tuple[int, int],
    target: Target,
    precision: str,
    suffix: str = "",
    *,
    delegate: Delegate | None = None,
    task: Task = "classify",
) -> str:
    """Return a name such as `shvit_s1-224-coreml-int8.mlpackage`; other than square sizes are HEIGHTxWIDTH.

    The name of other tasks than "classify" has the task behind the variant: `shvit_s1-features-512-onnx-fp32.onnx`.
    """
    model = variant if task == "classify" else f"{variant}-{task}"
    return (
        f"{model}-{format_size(size)}-{qualify_target(target, delegate)}-{precision}{suffix}{TARGET_SUFFIXES[target]}"
    )
