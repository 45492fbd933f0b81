"""An artifact on disk: the file or package itself, with its manifest and recipe beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shvit_mobile.errors import BadArtifact
from shvit_mobile.fingerprints import sha256
from shvit_mobile.targets.manifest import TARGETS, Manifest, Target


@dataclass(frozen=True)
class Artifact:
    """`path` is the artifact; `manifest` what is known of it."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Artifact:
        """The artifact at `path`, checked against the manifest beside it.

        Raises:
            BadArtifact: there is none, its manifest is missing or wrong, or its SHA-256 is not the manifest's.
        """
        if not path.exists():
            raise BadArtifact(f"{path} does not exist.", hint="Make one: shvit-mobile export --target coreml")
        if path.suffix not in TARGETS.values():
            raise BadArtifact(f"{path} is not an artifact.", why=f"Artifacts end in {', '.join(TARGETS.values())}.")
        manifest = Manifest.read(manifest_path(path))
        actual = sha256(path)
        if actual != manifest.artifact.sha256:
            raise BadArtifact(
                f"{path} is not the file its manifest describes.",
                why=f"Its SHA-256 is {actual[:12]}…, the manifest says {manifest.artifact.sha256[:12]}…: "
                "it was changed or damaged after the export.",
                hint="Export it again.",
            )
        return cls(path, manifest)


def manifest_path(artifact: Path) -> Path:
    return artifact.with_suffix(".manifest.json")


def recipe_path(artifact: Path) -> Path:
    return artifact.with_suffix(".recipe.json")


def artifact_name(variant: str, size: tuple[int, int], target: Target, precision: str, suffix: str = "") -> str:
    """`shvit_s1-224-coreml-int8.mlpackage`; a size that is not square is written heightxwidth."""
    height, width = size
    shape = f"{height}" if height == width else f"{height}x{width}"
    return f"{variant}-{shape}-{target}-{precision}{suffix}{TARGETS[target]}"
