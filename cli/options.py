"""The options that several commands share; `arguments` says what their texts mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MODEL_PANEL, IMAGES_PANEL, GATES_PANEL, OUTPUT_PANEL = "Model", "Images", "Gates (exit status 1 past them)", "Output"
INT8_PANEL = "int8"
INSPECTION_PANEL = "Inside the artifacts"
CPU_PANEL = "Instruction sets"
ChannelValues = tuple[float, float, float]

CheckpointOption = Annotated[
    str | None,
    typer.Option(
        metavar="PATH_OR_ID",
        help="A .pth or .safetensors file, a hub id (timm/shvit_s1.in1k), or a variant (shvit_s1) to take from the "
        "authors' release. Without it: the embedded demo model.",
        rich_help_panel=MODEL_PANEL,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(metavar="VARIANT", help="The variant that the checkpoint must be.", rich_help_panel=MODEL_PANEL),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Class names in the order of the logits: one a line, or a JSON list.",
        rich_help_panel=MODEL_PANEL,
    ),
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="224|192x160",
        help="Image size, height x width; else the checkpoint's own.",
        rich_help_panel=MODEL_PANEL,
    ),
]
CropOption = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Share of the resized picture that the crop keeps; else the checkpoint's own.",
        rich_help_panel=MODEL_PANEL,
    ),
]
MeanOption = Annotated[
    ChannelValues | None,
    typer.Option(metavar="R G B", help="Mean of each colour, in units of 0 to 1.", rich_help_panel=MODEL_PANEL),
]
StdOption = Annotated[
    ChannelValues | None,
    typer.Option(metavar="R G B", help="Standard deviation of each colour.", rich_help_panel=MODEL_PANEL),
]
StepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--step",
        metavar="STEP",
        help="What to try for a better int8: whole-pixels, equalise, clip, round, bias; repeatable. 'none' for plain "
        "int8; else all. Each is kept only where it helps.",
        rich_help_panel=INT8_PANEL,
    ),
]
LabelsCsvOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="CSV of file and label for these images.", rich_help_panel=IMAGES_PANEL),
]
MaxDropOption = Annotated[
    float | None,
    typer.Option(metavar="POINTS", help="Points of top-1 that may be lost; needs labels.", rich_help_panel=GATES_PANEL),
]
MinAgreementOption = Annotated[
    float | None,
    typer.Option(
        metavar="PERCENT",
        help="Share of images on which artifact and float model must choose the same class.",
        rich_help_panel=GATES_PANEL,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout and nothing else.", rich_help_panel=OUTPUT_PANEL)
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel=OUTPUT_PANEL)
]
