"""Write synthetic scenes as a folder of pictures with a COCO annotation file, to compare artifacts of a detector on.

    python tools/write_detection_scenes.py --pictures cifar10/test --backgrounds photos/test --out scenes
    shvit-mobile export --task detect --checkpoint detector.safetensors --target onnx --quantize fp32
        --validate scenes/images --labels-coco scenes/boxes.json

The scenes are those that `measure_detector.py` measures with the same seed and size.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from detection_scenes import Scene, SceneSource, load_scenes
from PIL import Image

# Of .jpg files; .png has no loss.
JPEG_QUALITY = 90


def main(
    pictures: Annotated[Path, typer.Option(help="The folder of pictures in class folders.")],
    out: Annotated[Path, typer.Option(help="The folder to write, which must not exist.")],
    backgrounds: Annotated[
        Path | None, typer.Option(help="The folder of photos without these classes (default: drawn clouds).")
    ] = None,
    scenes: Annotated[int, typer.Option(help="The number of scenes.", min=1)] = 500,
    size: Annotated[int, typer.Option(help="The side of a scene in pixels.", min=32)] = 256,
    seed: Annotated[int, typer.Option(help="The seed of the scenes; training has 0.")] = 1,
) -> None:
    if out.exists():
        raise SystemExit(f"error: {out} exists.")
    write_scenes(load_scenes(pictures, backgrounds, size, seed), scenes, out)
    print(f"Wrote {scenes} scenes to {out / 'images'}, and their boxes to {out / 'boxes.json'}.")


def write_scenes(source: SceneSource, count: int, out: Path, suffix: str = ".png") -> None:
    """Write scenes into `out`/images, and then their boxes into `out`/boxes.json."""
    folder = out / "images"
    folder.mkdir(parents=True)
    drawn = []
    for number in range(count):
        scene = source.draw(number)
        Image.fromarray(scene.pixels).save(folder / f"{number:06d}{suffix}", quality=JPEG_QUALITY)
        drawn.append(scene)
    content = describe_scenes(drawn, source.names, suffix)
    (out / "boxes.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def describe_scenes(
    scenes: Sequence[Scene], names: Sequence[str], suffix: str = ".png"
) -> dict[str, list[dict[str, Any]]]:
    """Return scenes in the form of COCO's annotations; the scene with number 3 is 000003 with the suffix."""
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    for number, scene in enumerate(scenes):
        height, width = scene.pixels.shape[:2]
        images.append({"id": number + 1, "file_name": f"{number:06d}{suffix}", "width": width, "height": height})
        for (left, top, right, bottom), label in zip(scene.boxes.tolist(), scene.classes.tolist(), strict=True):
            box = [left, top, right - left, bottom - top]
            common = {"id": len(annotations) + 1, "image_id": number + 1, "category_id": label + 1, "iscrowd": 0}
            annotations.append(common | {"bbox": box, "area": box[2] * box[3]})
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories}


if __name__ == "__main__":
    typer.run(main)
