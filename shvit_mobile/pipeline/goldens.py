"""Writes the goldens of an artifact: a few pictures, their pixels and the answers to them."""

from __future__ import annotations

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

# Another decoder of JPEG may round its colours differently (Java's does not), and the apps' own resampling is Pillow's
# to the last bit. Another filter, crop or order of channels makes a mean difference of 1.9 or more on the worst of the
# usual pictures, and so does bicubic that does not widen where it shrinks.
PIXEL_TOLERANCE = 1.0


def preprocess_golden_images(pictures: Sequence[GoldenSource], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """What preprocessing makes of each picture: uint8, shape (pictures, height, width, 3)."""
    return np.stack([preprocessing.preprocess_image(decode_image(picture.jpeg)) for picture in pictures])


def write_goldens(
    folder: Path,
    artifact: Artifact,
    pictures: Sequence[GoldenSource],
    pixels: NDArray[np.uint8],
    proof: VerificationResult,
) -> GoldensFolder:
    """Writes the goldens of an artifact into a new folder.

    Args:
        folder: where; its parent is there.
        artifact: whose they are.
        pictures: what the app is handed.
        pixels: of these pictures, as `preprocess_golden_images` gives them.
        proof: the answers to these pixels.

    Returns:
        what the manifest says of the folder.
    """
    folder.mkdir()
    images = []
    for number, (picture, prepared) in enumerate(zip(pictures, pixels, strict=True)):
        files = {f"{number}.jpg": picture.jpeg, f"{number}.rgb": prepared.tobytes()}
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (image, image_sha256), (stored, stored_sha256) = ((n, sha256(c).hexdigest()) for n, c in files.items())
        images.append(
            GoldenImage(
                image=image,
                image_sha256=image_sha256,
                pixels=stored,
                pixels_sha256=stored_sha256,
                logits=tuple(map(float, proof.logits[number])),
                float_logits=tuple(map(float, proof.float_logits[number])),
            )
        )
    goldens = Goldens(
        artifact_sha256=artifact.manifest.artifact.sha256,
        precision=artifact.manifest.precision,
        preprocessing=artifact.manifest.preprocessing,
        how=proof.execution,
        engine=proof.engine,
        tolerance=proof.tolerance,
        pixels_tolerance=PIXEL_TOLERANCE,
        images=tuple(images),
    )
    (folder / GOLDENS_NAME).write_text(goldens.to_json())
    return GoldensFolder(name=get_goldens_path(artifact.path).name, sha256=fingerprint(folder))
