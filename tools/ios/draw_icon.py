"""Draws the demo app's icon: `python tools/ios/draw_icon.py`. The icon shows an attention head on a grid of patches."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

ICON = Path(__file__).resolve().parents[2] / "ios_demo/SHViTDemo/Assets.xcassets/AppIcon.appiconset/icon.png"
SIDE, CELLS, GAP, MARGIN = 1024, 4, 40, 152
BACKGROUND_COLOR, PATCH_COLOR, ATTENDED_COLOR = (22, 33, 62), (72, 98, 158), (255, 196, 61)
ATTENDED = {(0, 2), (1, 1), (1, 2), (2, 1), (3, 1)}


def main() -> None:
    picture = Image.new("RGB", (SIDE, SIDE), BACKGROUND_COLOR)
    draw = ImageDraw.Draw(picture)
    width = (SIDE - 2 * MARGIN - (CELLS - 1) * GAP) // CELLS
    for row in range(CELLS):
        for column in range(CELLS):
            left, top = MARGIN + column * (width + GAP), MARGIN + row * (width + GAP)
            color = ATTENDED_COLOR if (row, column) in ATTENDED else PATCH_COLOR
            draw.rounded_rectangle((left, top, left + width, top + width), 32, fill=color)
    ICON.parent.mkdir(parents=True, exist_ok=True)
    picture.save(ICON, optimize=True)
    print(f"{ICON.name}: {ICON.stat().st_size} bytes")


if __name__ == "__main__":
    main()
