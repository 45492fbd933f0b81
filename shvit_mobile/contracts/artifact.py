"""An artifact on disk: the file or package itself, with its manifest, recipe and goldens beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES, Manifest, Target
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact

EXPORT_AGAIN_HINT = "Export it again."


@dataclass(frozen=True)
class Artifact:
    """`path` is the artifact; `manifest` what is known of it."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: AnyPath) -> Artifact:
        """The artifact at `path`, checked against the manifest beside it.

        It may lie there without its goldens; where they are there, they are checked too.

        Raises:
            BadArtifact: there is none, its manifest is missing or wrong, or its SHA-256 or that of its goldens is not
                the manifest's.
        """
        path = Path(path)
        if not path.exists():
            raise BadArtifact(f"{path} does not exist.", hint="Make one: shvit-mobile export --target coreml")
        if path.suffix not in TARGET_SUFFIXES.values():
            raise BadArtifact(
                f"{path} is not an artifact.", why=f"Artifacts end in {', '.join(TARGET_SUFFIXES.values())}."
            )
        manifest = Manifest.load(get_manifest_path(path))
        actual = compute_sha256(path)
        if actual != manifest.artifact.sha256:
            raise BadArtifact(
                f"{path} is not the file its manifest describes.",
                why=f"Its SHA-256 is {actual[:12]}…, the manifest says {manifest.artifact.sha256[:12]}…: "
                "it was changed or damaged after the export.",
                hint=EXPORT_AGAIN_HINT,
            )
        artifact = cls(path, manifest)
        if get_goldens_path(path).exists():
            artifact.check_goldens()
        return artifact

    def check_goldens(self) -> None:
        """Raises `BadArtifact` unless the folder of goldens beside the artifact is the one its manifest describes."""
        folder, known = get_goldens_path(self.path), self.manifest.goldens
        if known is None:
            return
        if not folder.is_dir():
            raise BadArtifact(
                f"{self.path} lies there without its goldens.",
                why=f"They should be beside it, in the folder {known.name}.",
                hint="Copy that folder here, or export it again.",
            )
        actual = compute_sha256(folder)
        if actual != known.sha256:
            raise BadArtifact(
                f"{folder} holds other goldens than the manifest describes.",
                why=f"Their SHA-256 is {actual[:12]}…, the manifest says {known.sha256[:12]}…: a file was "
                "changed, added or lost after the export.",
                hint=EXPORT_AGAIN_HINT,
            )


def get_manifest_path(artifact: Path) -> Path:
    return artifact.with_suffix(".manifest.json")


def get_recipe_path(artifact: Path) -> Path:
    return artifact.with_suffix(".recipe.json")


def get_goldens_path(artifact: Path) -> Path:
    """A folder."""
    return artifact.with_suffix(".goldens")


def list_artifact_files(artifact: Path) -> tuple[Path, Path, Path, Path]:
    """All that every export writes: the artifact, its manifest, its recipe and its goldens.

    Where the recipe has corrections, `shvit_mobile.contracts.recipe.get_overrides_path` of it comes with them.
    """
    return artifact, get_manifest_path(artifact), get_recipe_path(artifact), get_goldens_path(artifact)


def format_artifact_name(variant: str, size: tuple[int, int], target: Target, precision: str, suffix: str = "") -> str:
    """`shvit_s1-224-coreml-int8.mlpackage`; a size that is not square is written heightxwidth."""
    height, width = size
    shape = f"{height}" if height == width else f"{height}x{width}"
    return f"{variant}-{shape}-{target}-{precision}{suffix}{TARGET_SUFFIXES[target]}"
