"""Writes the goldens of an artifact: a few pictures, their preprocessed pixels and their logits."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact, get_goldens_path
from shvit_mobile.contracts.fingerprints import compute_sha256 as fingerprint
from shvit_mobile.contracts.goldens import GOLDENS_NAME, GoldenImage, Goldens
from shvit_mobile.contracts.manifest import GoldensFolder
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.images.decode import decode_image
from shvit_mobile.pipeline.golden_images import GoldenSource
from shvit_mobile.pipeline.verify import VerificationResult

# The mean difference that is allowed, in pixel values. Another JPEG decoder may round colors differently; the apps'
# resampling equals Pillow's to the last bit. Another filter, crop or channel order, or bicubic without antialiasing,
# differs by 1.9 or more even on the default picture that shows it least.
_PIXEL_TOLERANCE = 1.0


def preprocess_golden_images(sources: Sequence[GoldenSource], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return the pixels of each picture: uint8, shape (pictures, height, width, 3)."""
    return np.stack([preprocessing.preprocess_image(decode_image(source.jpeg)) for source in sources])


def write_goldens(
    folder: Path,
    artifact: Artifact,
    sources: Sequence[GoldenSource],
    pixels: NDArray[np.uint8],
    result: VerificationResult,
) -> GoldensFolder:
    """Write the goldens of an artifact into a new folder.

    Args:
        folder: The folder to create; its parent exists.
        artifact: The artifact.
        sources: The pictures.
        pixels: Their pixels, from `preprocess_golden_images`.
        result: The logits for these pixels.

    Returns:
        The manifest's entry for the folder.
    """
    folder.mkdir()
    images = []
    for number, (source, prepared) in enumerate(zip(sources, pixels, strict=True)):
        files = {f"{number}.jpg": source.jpeg, f"{number}.rgb": prepared.tobytes()}
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (image, image_sha256), (stored, stored_sha256) = ((n, sha256(c).hexdigest()) for n, c in files.items())
        images.append(
            GoldenImage(
                image=image,
                image_sha256=image_sha256,
                pixels=stored,
                pixels_sha256=stored_sha256,
                logits=tuple(map(float, result.logits[number])),
                float_logits=tuple(map(float, result.float_logits[number])),
            )
        )
    goldens = Goldens(
        artifact_sha256=artifact.manifest.artifact.sha256,
        precision=artifact.manifest.precision,
        preprocessing=artifact.manifest.preprocessing,
        how=result.execution,
        engine=result.engine,
        tolerance=result.tolerance,
        pixels_tolerance=_PIXEL_TOLERANCE,
        images=tuple(images),
    )
    (folder / GOLDENS_NAME).write_text(goldens.to_json(), encoding="utf-8")
    return GoldensFolder(name=get_goldens_path(artifact.path).name, sha256=fingerprint(folder))
