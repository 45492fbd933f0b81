"""Decodes the goldens' pictures for the Swift tests on Linux, where Swift has no JPEG decoder.

    python tools/ios/decode_pictures.py OUT FOLDER...

Each JPEG in a folder of goldens under FOLDER becomes OUT/SHA256.ppm, named by the SHA-256 of the JPEG: upright RGB,
decoded by `shvit_mobile.images.decode`.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

from shvit_mobile.images.decode import decode_image


def main() -> None:
    out, *folders = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        for path in sorted(folder.glob("**/*.goldens/*.jpg")):
            name = f"{sha256(path.read_bytes()).hexdigest()}.ppm"
            decode_image(path).save(out / name)


if __name__ == "__main__":
    main()
