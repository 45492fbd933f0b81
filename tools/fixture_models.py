"""Fixtures about models: manifests, recipes, goldens and drift reports, as `write_fixtures` writes them.

Names, sizes, hashes and drift are those of the demo model's exports, with an inventory and a recipe cut short; goldens
and the small model that they belong to are made up.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.contracts.drift_report import (
    ChangedImage,
    CheckpointInfo,
    Confusion,
    CrossRuntimeDivergence,
    DriftReport,
    EvaluationImages,
    GateVerdict,
    LayerDrift,
    LayerReport,
    NeededImages,
    Prediction,
    PredictionChanges,
    RangeReport,
    ValueRange,
)
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.goldens import GoldenImage, Goldens
from shvit_mobile.contracts.image_use import ClassMapping, ImageUse, SkippedImages
from shvit_mobile.contracts.manifest import (
    ArtifactFile,
    Delegation,
    GoldensFolder,
    InputContract,
    Inventory,
    Manifest,
    ModelProvenance,
    OutputContract,
    OutputMap,
    OutputSamples,
    RampGolden,
    Target,
)
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import FLOAT_KINDS, ActivationRange, CalibrationImages, Precision, Recipe
from shvit_mobile.contracts.sensitivity import BlockSensitivity, LayerSensitivity, SensitivityReport
from shvit_mobile.demo import TEST_IMAGES, WIDE_GAMUT_IMAGE
from shvit_mobile.drift.intervals import compute_drop_interval, compute_mcnemar_test, compute_wilson_interval

CHECKPOINT = "75ff6865b5773bc461497a1616c595bbddcc55660f3f6cd4c01eb1425853d218"
LABELS = tuple(sorted(folder.name for folder in TEST_IMAGES.iterdir() if folder.is_dir()))
VERSIONS = {
    "coreml": {"shvit-mobile": "0.1.0", "torch": "2.13.0+cpu", "coremltools": "9.0"},
    "executorch": {"shvit-mobile": "0.1.0", "torch": "2.13.0+cpu", "executorch": "1.4.1", "torchao": "0.18.0"},
}
ENGINES = {"coreml": "shvit-mobile reference executor", "executorch": "ExecuTorch 1.4.1 (XNNPACK)"}
SUFFIXES = {"coreml": ".mlpackage", "executorch": ".pte"}
# Operators that XNNPACK takes of each program: int8 has its quantize and dequantize operators besides.
DELEGATED = {"fp32": 329, "int8": 409}
IMAGES = 500


@dataclass(frozen=True)
class FixtureExport:
    """An artifact of the demo model, and what was measured of it on 500 images.

    Attributes:
        lost, gained: images that only the float model, only the artifact got right.
        changed: images on which their choice differs.
        weights: bytes by dtype.
    """

    target: Target
    precision: Precision
    bytes: int
    sha256: str
    weights: Mapping[str, int]
    quantized_layers: int
    lost: int
    gained: int
    changed: int
    top5: int
    sqnr_db: float
    max_abs_error: float
    mean_kl: float

    @property
    def stem(self) -> str:
        return f"shvit_s1-224-{self.target}-{self.precision}"

    @property
    def name(self) -> str:
        return self.stem + SUFFIXES[self.target]


EXPORTS = (
    FixtureExport(
        *("coreml", "fp16", 12151980, "67b449e4cd46c3fec3a245e8b989a76db3304cbaa26db2bcdc01498e2545ee09"),
        *({"float16": 11979636}, 0, 1, 0, 1, 497, 57.745843, 0.0147891, 1.578461e-06),
    ),
    FixtureExport(
        *("coreml", "int8", 6400267, "bd42e759272a2b3c6fc7c27946306039ed321ac4f188ad30ae9c6e70368d9f01"),
        *({"int8": 5917980, "float16": 180612}, 60, 3, 2, 5, 496, 30.077328, 0.437455, 1.056545e-03),
    ),
    FixtureExport(
        *("coreml", "int8-weights", 6291128, "baaec3cd4c086c5f216af1a7d62cf668520ce18ef69024b0346f058bcbb8fccd"),
        *({"int8": 5972078, "float16": 121616}, 0, 2, 1, 3, 497, 30.845597, 0.305905, 5.301438e-04),
    ),
    FixtureExport(
        *("executorch", "fp32", 24079656, "3de3a3904211e316ba663d6d926703a41d7a9535ac5192d725e8b1aa5e380575"),
        *({"float32": 23987876}, 0, 0, 0, 0, 497, 123.397177, 9.000301e-06, 2.868973e-13),
    ),
    FixtureExport(
        *("executorch", "int8", 6516008, "173313e675582fc2a28a042980ba79371f8d8b0569a88f82e639a1ce93c560af"),
        *({"int8": 5917824, "float32": 389428, "int32": 72848}, 60, 1, 1, 2, 497, 30.090705, 0.395323, 9.845606e-04),
    ),
)


def build_recipe(precision: Precision) -> Recipe:
    """The recipe of a precision, with the ranges of three layers where there are any."""
    if precision != "int8":
        return Recipe(precision=precision)
    return Recipe(
        precision="int8",
        float_kinds=FLOAT_KINDS,
        observer="min-max",
        ranges={
            "patch_embed.0": ActivationRange(input=(-123.675003, 151.470001), output=(0.0, 17.72175)),
            "patch_embed.2": ActivationRange(input=(0.0, 17.72175), output=(0.0, 11.152433)),
            "patch_embed.4": ActivationRange(input=(0.0, 11.152433), output=(0.0, 10.669729)),
        },
        calibration=CalibrationImages(
            source="calibration",
            count=200,
            sha256="aeac714513419772388e5afa6bc991e339972520c0d245f486b7d4ba29e61ed5",
            seed=0,
            use=ImageUse(
                requested=256,
                found=203,
                used=200,
                skipped=(SkippedImages(reason="it is a link to nothing", count=3, first="cat/0007.jpg"),),
            ),
        ),
    )


def build_drift_row(export: FixtureExport) -> DriftRow:
    right = 446
    low, high = compute_drop_interval(export.lost, export.gained, IMAGES)
    return DriftRow(
        artifact=export.name,
        target=export.target,
        precision=export.precision,
        how="reference" if export.target == "coreml" else "native",
        engine=ENGINES[export.target],
        artifact_sha256=export.sha256,
        images=IMAGES,
        top1=compute_wilson_interval(right - export.lost + export.gained, IMAGES),
        top5=compute_wilson_interval(export.top5, IMAGES),
        float_top1=compute_wilson_interval(right, IMAGES),
        float_top5=compute_wilson_interval(497, IMAGES),
        top1_drop=round(100 * (export.lost - export.gained) / IMAGES, 6),
        top1_drop_interval=(round(low, 6), round(high, 6)),
        mcnemar=compute_mcnemar_test(export.lost, export.gained),
        agreement=compute_wilson_interval(IMAGES - export.changed, IMAGES),
        sqnr_db=export.sqnr_db,
        max_abs_error=export.max_abs_error,
        mean_kl=export.mean_kl,
    )


def build_manifest(export: FixtureExport, size: int = 224) -> Manifest:
    coreml = export.target == "coreml"
    return Manifest(
        artifact=ArtifactFile(name=export.name, bytes=export.bytes, sha256=export.sha256),
        target=export.target,
        precision=export.precision,
        model=ModelProvenance(
            variant="shvit_s1",
            classes=len(LABELS),
            source="shvit_s1-cifar10.safetensors",
            dialect="shvit-mobile",
            checkpoint_sha256=CHECKPOINT,
        ),
        labels=LABELS,
        preprocessing=Preprocessing(size=(size, size), crop_ratio=1.0),
        input=InputContract(
            name="image",
            kind="image" if coreml else "tensor",
            values="pixels",
            shape=(1, 3, size, size),
            dtype="uint8" if coreml else "float32",
        ),
        output=OutputContract(
            logits="logits",
            probabilities="classLabel_probs" if coreml else None,
            label="classLabel" if coreml else None,
        ),
        recipe=build_recipe(export.precision),
        options={"input": "image", "deployment_target": "iOS17", "classifier": True, "layout": "matmul", "block": 0}
        if coreml
        else {"delegate": "xnnpack", "stem": "plain", "head": "auto"},
        versions=VERSIONS[export.target],
        inventory=Inventory(
            operators={"conv": 77, "relu": 33, "matmul": 18} if coreml else {"XNNConv2d": 78, "XnnpackBackend": 1},
            weight_bytes=dict(export.weights),
            quantized_layers=export.quantized_layers,
        ),
        delegation=None
        if coreml
        else Delegation(
            backend="XnnpackBackend", delegates=1, delegated_operators=DELEGATED[export.precision], left_operators={}
        ),
        golden=RampGolden(
            logits=(1.85254, -0.02058, -1.24316, -1.61035, -0.78369, -1.18164, -1.68165, -0.6748, 2.29492, 4.73828),
            how="reference" if coreml else "native",
            tolerance=0.236853 if export.quantized_layers == 0 else 2.368528,
        ),
        drift=build_drift_row(export),
    )


SMALL = 64
SMALL_STEM = f"shvit_s1-{SMALL}-executorch-fp32"
SMALL_SHA256 = sha256(b"the artifact of shvit-mobile's fixture goldens").hexdigest()
DETECTOR_STEM = f"detector-{SMALL}-executorch-fp32"
DETECTOR_SHA256 = sha256(b"the artifact of shvit-mobile's fixture detector").hexdigest()
DETECTION = Detection(strides=(16, 32), box_coding="distances", center_offset=0.5)
# The places of the values in goldens, and the tolerance of each output.
SAMPLED = {"scores16": 0.01, "scores32": 0.02, "boxes16": 0.001, "boxes32": 0.002}


def write_goldens(folder: Path) -> None:
    """Write goldens of a classifier and of a detector with made-up outputs, and the manifests that name them."""
    logits = [np.round(np.random.default_rng(index).normal(0, 2, len(LABELS)), 4) for index in range(3)]
    goldens = Goldens(
        artifact_sha256=SMALL_SHA256,
        tolerance=0.001,
        images=tuple(
            GoldenImage(logits=tuple(values.tolist()), float_logits=tuple(np.round(values + 1e-4, 4).tolist()), **files)
            for values, files in zip(logits, write_golden_images(folder / f"{SMALL_STEM}.goldens"), strict=True)
        ),
        **GOLDENS_OF_ALL,
    )
    save_goldens(goldens, folder, SMALL_STEM, {})
    write_detector_goldens(folder)


def write_detector_goldens(folder: Path) -> None:
    maps = tuple(
        OutputMap(name=f"{kind}{stride}", shape=(channels, SMALL // stride, SMALL // stride), stride=stride)
        for kind, channels in (("scores", 2), ("boxes", 4))
        for stride in DETECTION.strides
    )
    samples = tuple(
        OutputSamples(name=one.name, positions=tuple(range(0, prod(one.shape), 5)), tolerance=SAMPLED[one.name])
        for one in maps
    )
    count = sum(len(one.positions) for one in samples)
    values = [np.round(np.random.default_rng(10 + index).normal(-1, 2, count), 4) for index in range(3)]
    goldens = Goldens(
        artifact_sha256=DETECTOR_SHA256,
        tolerance=max(SAMPLED.values()),
        sampled_outputs=samples,
        images=tuple(
            GoldenImage(sampled_values=tuple(one.tolist()), float_sampled_values=tuple(one.tolist()), **files)
            for one, files in zip(values, write_golden_images(folder / f"{DETECTOR_STEM}.goldens"), strict=True)
        ),
        **GOLDENS_OF_ALL,
    )
    manifest = build_manifest(EXPORTS[3], SMALL)
    update = {
        "task": "detect",
        "labels": ("cat", "dog"),
        "model": manifest.model.model_copy(update={"classes": 2}),
        "output": OutputContract(maps=maps),
        "detection": DETECTION,
    }
    save_goldens(goldens, folder, DETECTOR_STEM, update)


GOLDENS_OF_ALL: dict[str, Any] = {
    "precision": "fp32",
    "preprocessing": Preprocessing(size=(SMALL, SMALL), crop_ratio=1.0),
    "how": "native",
    "engine": ENGINES["executorch"],
    "pixels_tolerance": 1.5,
    "reduced_pixels_tolerance": 2.5,
}


def save_goldens(goldens: Goldens, folder: Path, stem: str, update: dict[str, Any]) -> None:
    """Write the list of `STEM.goldens/`, whose pictures are there, and the manifest that names the folder."""
    place = folder / f"{stem}.goldens"
    goldens.save(place / "goldens.json")
    export = EXPORTS[3]
    named = build_manifest(export, SMALL).model_copy(
        update={
            "artifact": ArtifactFile(name=f"{stem}.pte", bytes=export.bytes, sha256=goldens.artifact_sha256),
            "goldens": GoldensFolder(name=place.name, sha256=compute_sha256(place)),
            "drift": None,
            "golden": None,
            **update,
        }
    )
    named.save(folder / f"{stem}.manifest.json")


def write_golden_images(place: Path) -> Iterator[dict[str, str]]:
    """Write three pictures of the demo's images with their pixels; yield what a list says of each."""
    place.mkdir(parents=True)
    for index, source in enumerate((find_picture(0), find_picture(1), WIDE_GAMUT_IMAGE)):
        with Image.open(source) as opened:
            pixels = GOLDENS_OF_ALL["preprocessing"].preprocess_image(opened.convert("RGB"))
        image, raw = f"{index}.jpg", f"{index}.pixels.rgb"
        (place / image).write_bytes(source.read_bytes())
        (place / raw).write_bytes(pixels.tobytes())
        yield {
            "image": image,
            "image_sha256": sha256(source.read_bytes()).hexdigest(),
            "pixels": raw,
            "pixels_sha256": sha256(pixels.tobytes()).hexdigest(),
        }


def find_picture(index: int) -> Path:
    """A test image of one class after the other."""
    return sorted((TEST_IMAGES / LABELS[index]).glob("*.jpg"))[0]


def build_full_drift_report() -> DriftReport:
    """Everything that a drift report can hold, of three artifacts; layers and ranges are made up."""
    fp16, int8, phone = EXPORTS[0], EXPORTS[1], EXPORTS[4]
    layers = [
        ("patch_embed.0", "conv"),
        ("blocks1.0.conv", "residual"),
        ("blocks2.1.mixer", "residual"),
        ("head", "linear"),
    ]
    return DriftReport(
        created="2025-02-14T09:30:00+00:00",
        app="shvit-mobile 0.1.0 validate",
        versions=VERSIONS["executorch"] | VERSIONS["coreml"],
        checkpoint=CheckpointInfo(
            variant="shvit_s1", classes=len(LABELS), source="shvit_s1-cifar10.safetensors", sha256=CHECKPOINT
        ),
        images=EvaluationImages(
            source="test",
            count=IMAGES,
            labelled=True,
            sha256=sha256(b"500 test images").hexdigest(),
            use=ImageUse(found=IMAGES, used=IMAGES),
            mapping=ClassMapping(rule="name", sentence="The 10 folders in test were matched with classes by name."),
        ),
        rows=(
            build_drift_row(replace(fp16, lost=0, gained=0, changed=0, top5=497)).model_copy(
                update={
                    "artifact": "deploy form",
                    "target": "pytorch",
                    "precision": "fp32",
                    "how": "simulated",
                    "engine": "PyTorch 2.13.0",
                    "artifact_sha256": None,
                    "sqnr_db": float("inf"),
                    "max_abs_error": 0.0,
                    "mean_kl": 0.0,
                }
            ),
            *(build_drift_row(export) for export in (fp16, int8, phone)),
        ),
        changed=(
            PredictionChanges(artifact=fp16.name, images=fp16.changed, confusions=build_confusions()[1:2]),
            PredictionChanges(
                artifact=int8.name,
                images=int8.changed,
                confusions=build_confusions(),
                worst=tuple(build_changed_image(index) for index in range(2)),
                needed=NeededImages(max_drop=0.5, supported=False, images=4200),
            ),
        ),
        apart=(
            CrossRuntimeDivergence(
                artifact=phone.name,
                first=ENGINES["executorch"],
                second="ExecuTorch 1.3.1 (XNNPACK), ARM64 i8mm",
                images=IMAGES,
                agreement=compute_wilson_interval(IMAGES, IMAGES),
                sqnr_db=47.25,
                max_abs_error=0.048,
            ),
        ),
        layers=(
            LayerReport(
                artifact=int8.name,
                target=int8.target,
                precision=int8.precision,
                engine=ENGINES["coreml"],
                images=32,
                threshold_db=30.0,
                rows=tuple(
                    LayerDrift(layer=name, kind=kind, free_db=40.5 - 4 * index, forced_db=44.0 - index)
                    for index, (name, kind) in enumerate(layers)
                ),
                first="head",
                worst=("head",),
            ),
        ),
        ranges=(
            RangeReport(
                artifact=fp16.name,
                engine=ENGINES["coreml"],
                computes_in_half=True,
                images=100,
                values=(
                    ValueRange(
                        layer="blocks2.1.mixer",
                        operator="layer_norm",
                        value="norm_3",
                        part="squares",
                        size=9408,
                        largest=2150.75,
                        headroom_bits=4.93,
                        smallest_peak=120.5,
                        subnormal=0.0,
                        vanished=0.0,
                    ),
                ),
                flags=(),
                notes=(),
            ),
        ),
        gate=GateVerdict(
            passed=True,
            caveats=(f"{int8.name}: the top-1 drop is 0.2 points, within 0.5, but 500 images are too few to be sure.",),
        ),
    )


def build_small_drift_report() -> DriftReport:
    """The least that a drift report can hold: images without labels, one artifact."""
    export = EXPORTS[4]
    unlabelled = ("top1", "top5", "float_top1", "float_top5", "top1_drop", "top1_drop_interval", "mcnemar")
    full = build_full_drift_report()
    return DriftReport(
        created=full.created,
        app=full.app,
        versions=VERSIONS["executorch"],
        checkpoint=full.checkpoint,
        images=EvaluationImages(
            source="photos", count=IMAGES, labelled=False, sha256=sha256(b"photos").hexdigest(), seed=0
        ),
        rows=(build_drift_row(export).model_copy(update=dict.fromkeys(unlabelled)),),
    )


def build_confusions() -> tuple[Confusion, ...]:
    return (
        Confusion(label="cat", before="cat", after="dog", images=2),
        Confusion(label="ship", before="ship", after="airplane", images=1),
        Confusion(label="bird", before="deer", after="bird", images=2),
    )


def build_changed_image(index: int) -> ChangedImage:
    before, after = LABELS[index], LABELS[index + 1]
    return ChangedImage(
        file=find_picture(index).relative_to(TEST_IMAGES).as_posix(),
        label=before,
        float_answer=Prediction(label=before, probability=0.41),
        answer=Prediction(label=after, probability=0.38),
        kl=0.25 - 0.125 * index,
        thumbnail=b64encode(find_picture(index).read_bytes()).decode(),
    )


# By layer: multiply-adds, elements of the weight, then SQNR in dB and mean KL, alone in int8 and alone in float.
SENSITIVITY = {
    "patch_embed.0": (5419008, 432, 37.63, 1.3e-04, 32.72, 3.2e-04),
    "patch_embed.2": (14450688, 4608, 37.45, 7.9e-05, 32.23, 2.1e-04),
    "patch_embed.4": (14450688, 18432, 45.65, 1.5e-05, 32.29, 2.9e-04),
    "patch_embed.6": (14450688, 73728, 45.11, 1.7e-05, 32.14, 3.5e-04),
    "stages.1.downsample.2.conv1": (12845056, 65536, 43.01, 4.5e-05, 32.93, 2.3e-04),
    "stages.1.downsample.2.se.fc1": (65536, 65536, 51.51, 7.3e-07, 31.46, 5.3e-04),
    "stages.1.downsample.2.se.fc2": (65536, 65536, 51.16, 1.2e-06, 31.44, 3.7e-04),
    "stages.1.downsample.2.conv3": (5619712, 114688, 41.89, 4.5e-05, 31.87, 3.6e-04),
}


def build_sensitivity() -> SensitivityReport:
    """Of the stem and of the way into the second stage, cut short."""
    layers = tuple(
        LayerSensitivity(
            layer=layer, macs=macs, weights=weights, quantized_db=db, quantized_kl=kl, float_db=up, float_kl=left
        )
        for layer, (macs, weights, db, kl, up, left) in SENSITIVITY.items()
    )
    names = tuple(SENSITIVITY)
    return SensitivityReport(
        checkpoint_sha256=CHECKPOINT,
        recipe_sha256=sha256(b"the recipe of shvit-mobile's fixture of sensitivity").hexdigest(),
        images=64,
        int8_db=31.81,
        int8_kl=5.2e-04,
        layers=layers,
        blocks=(
            BlockSensitivity(
                block="patch_embed",
                layers=names[:4],
                quantized_db=36.04,
                quantized_kl=1.4e-04,
                float_db=33.87,
                float_kl=1.6e-04,
            ),
            BlockSensitivity(
                block="stages.1.downsample",
                layers=names[4:],
                quantized_db=40.34,
                quantized_kl=4.3e-05,
                float_db=32.84,
                float_kl=2.2e-04,
            ),
        ),
    )
