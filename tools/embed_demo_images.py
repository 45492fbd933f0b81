"""Choose the demo's images: 500 of CIFAR-10's test images to measure on, 200 training images to calibrate on.

    python tools/embed_demo_images.py --train cifar10-train.tar.gz --test cifar10-test.tar.gz

The files are copied unchanged, the same number per class, evenly spaced over the sorted names.
"""

from __future__ import annotations

import tarfile
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

IMAGES = Path(__file__).parent.parent / "shvit_mobile" / "demo" / "images"


def main(
    train: Annotated[Path, typer.Option(help="The archive of the training images, in class folders.")],
    test: Annotated[Path, typer.Option(help="The archive of the test images, in class folders.")],
    out: Annotated[Path, typer.Option(help="The folder for `test` and `calibration`.")] = IMAGES,
) -> None:
    copy_images(test, out / "test", per_class=50)
    copy_images(train, out / "calibration", per_class=20)


def copy_images(archive: Path, out: Path, *, per_class: int) -> None:
    with tarfile.open(archive) as tar:
        members = {member.name: member for member in tar if member.name.endswith(".jpg")}
        for folder, names in group_by_class(members).items():
            (out / folder).mkdir(parents=True, exist_ok=True)
            for name in pick_evenly(names, per_class):
                file = tar.extractfile(members[name])
                if file is None:
                    raise typer.BadParameter(f"{name} in {archive} is not a file")
                (out / folder / Path(name).name).write_bytes(file.read())
    print(f"{sum(1 for _ in out.rglob('*.jpg'))} images in {out}")


def group_by_class(names: dict[str, tarfile.TarInfo]) -> dict[str, list[str]]:
    classes: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        classes[Path(name).parent.name].append(name)
    return classes


def pick_evenly(names: list[str], count: int) -> list[str]:
    return [names[index * len(names) // count] for index in range(count)]


if __name__ == "__main__":
    typer.run(main)
