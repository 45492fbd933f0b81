"""Fixtures that a reader has to refuse, and others of a newer minor version that it has to keep whole."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from shvit_mobile.bench.statistics import summarize_latency
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.document import CHECKSUM_FIELD, compute_content_sha256, parse_version

NEWER_MAJOR = "2.0"
ABSENT = object()
NOT_A_HASH = "67B449E4"


@dataclass(frozen=True)
class Fault:
    """A valid document with one thing wrong.

    Attributes:
        name: of the file, without its suffix.
        place: keys and indices to the field; the last may be new.
        value: what stands there; `ABSENT` where nothing does.
        why: a part of the sentence that refuses it.
    """

    name: str
    place: tuple[str | int, ...]
    value: Any
    why: str


def list_common_faults(required: tuple[str | int, ...]) -> list[Fault]:
    """What is wrong in every kind of document; `required` is the place of a field that it cannot do without."""
    path = ".".join(map(str, required))
    return [
        Fault("newer-major", ("schema_version",), NEWER_MAJOR, f"of version {NEWER_MAJOR}."),
        Fault("version-of-one-number", ("schema_version",), "1", "schema_version"),
        Fault("wrong-kind", ("kind",), "shopping_list", "kind"),
        Fault("no-kind", ("kind",), ABSENT, "kind"),
        Fault("unknown-field", ("remark",), "of this version", "remark"),
        Fault("missing-field", required, ABSENT, path),
    ]


FAULTS: dict[str, list[Fault]] = {
    "device_report": [
        *list_common_faults(("device",)),
        Fault("negative-time", ("results", 0, "load_ms"), -1.5, "results.0.load_ms"),
        Fault("negative-sample", ("results", 0, "samples_ms", 0, 1), -4.0, "results.0.samples_ms.0.1"),
        Fault("empty-samples", ("results", 0, "samples_ms"), [], "results.0.samples_ms"),
        Fault("no-results", ("results",), [], "results"),
        Fault("text-for-a-number", ("results", 0, "latency", "p50"), "fast", "results.0.latency.p50"),
        Fault("wrong-hash-format", ("results", 0, "artifact_sha256"), NOT_A_HASH, "results.0.artifact_sha256"),
        Fault("unknown-compute-unit", ("results", 0, "compute"), "quantum", "results.0.compute"),
        Fault("unknown-thermal-state", ("conditions", "thermal", 0, "state"), "cosy", "conditions.thermal.0.state"),
        Fault("battery-past-full", ("conditions", "battery"), 64, "conditions.battery"),
        Fault("no-timing", ("settings", "timed"), ABSENT, "settings.timed"),
        Fault("unknown-timing", ("settings", "timed"), "everything", "settings.timed"),
        Fault("unknown-override", ("settings", "overrides"), ["sleep"], "settings.overrides.0"),
        Fault("percentile-of-few-samples", ("results", 0, "latency", "p99"), 9.5, "latency.p99"),
        Fault("no-mean", ("results", 0, "latency", "mean"), ABSENT, "results.0.latency.mean"),
        Fault("stage-missing", ("results", 0, "stages", "tensor"), ABSENT, "results.0.stages.tensor"),
        Fault("stage-of-other-frames", ("results", 0, "stages", "tensor", "samples"), 119, "tensor.samples"),
        Fault("percentiles-out-of-order", ("results", 0, "stages", "decoding", "p90"), 0.001, "decoding.p90"),
        Fault("total-below-its-stages", ("results", 0, "stages", "total", "mean"), 9.9, "total.mean"),
        Fault("low-power-not-allowed", ("conditions", "low_power"), True, "conditions.low_power"),
        Fault("warm-before-it-began", ("conditions", "thermal", 0, "state"), "serious", "conditions.thermal.0.state"),
        Fault("failure-without-reason", ("failures",), [{"name": "a", "engine": "b"}], "failures.0.error"),
        Fault("fraction-of-an-image", ("results", 0, "golden", "same_class"), 3.5, "results.0.golden.same_class"),
    ],
    "manifest": [
        *list_common_faults(("labels",)),
        Fault("wrong-hash-format", ("artifact", "sha256"), NOT_A_HASH, "artifact.sha256"),
        Fault("negative-size", ("artifact", "bytes"), -1, "artifact.bytes"),
        Fault("unknown-target", ("target",), "tflite", "target"),
        Fault("unknown-precision", ("precision",), "int3", "precision"),
        Fault("shape-of-three", ("input", "shape"), [3, 224, 224], "input.shape"),
        Fault("unknown-interpolation", ("preprocessing", "interpolation"), "cubic", "preprocessing.interpolation"),
        Fault("unknown-channel-order", ("preprocessing", "channel_order"), "grb", "preprocessing.channel_order"),
        Fault("unknown-resize-mode", ("preprocessing", "resize_mode"), "stretch", "preprocessing.resize_mode"),
    ],
    "recipe": [
        *list_common_faults(("precision",)),
        Fault("unknown-observer", ("observer",), "guess", "observer"),
        Fault("range-of-three", ("ranges", "patch_embed.0", "input"), [0, 1, 2], "ranges.patch_embed.0.input"),
        Fault("wrong-hash-format", ("calibration", "sha256"), NOT_A_HASH, "calibration.sha256"),
    ],
    "goldens": [
        *list_common_faults(("images",)),
        Fault("no-images", ("images",), [], "images"),
        Fault("negative-tolerance", ("tolerance",), -0.5, "tolerance"),
        Fault("no-reduced-tolerance", ("reduced_pixels_tolerance",), ABSENT, "reduced_pixels_tolerance"),
        Fault("reduced-tolerance-below-other", ("reduced_pixels_tolerance",), 0.25, "reduced_pixels_tolerance"),
        Fault("wrong-hash-format", ("images", 0, "pixels_sha256"), NOT_A_HASH, "images.0.pixels_sha256"),
        Fault("logits-of-text", ("images", 0, "logits", 0), "high", "images.0.logits.0"),
    ],
    "drift_report": [
        *list_common_faults(("checkpoint",)),
        Fault("no-rows", ("rows",), [], "rows"),
        Fault("share-past-one", ("rows", 0, "agreement", "value"), 99.6, "rows.0.agreement.value"),
        Fault("no-images", ("rows", 0, "images"), 0, "rows.0.images"),
        Fault("unknown-how", ("rows", 0, "how"), "somehow", "rows.0.how"),
        Fault("negative-error", ("rows", 0, "max_abs_error"), -0.5, "rows.0.max_abs_error"),
        Fault("wrong-hash-format", ("checkpoint", "sha256"), NOT_A_HASH, "checkpoint.sha256"),
    ],
}


def shorten_report(report: DeviceReport) -> DeviceReport:
    """The report with two short rounds of its first result, to be read by eye."""
    first = report.results[0]
    rounds = tuple(samples[:2] for samples in first.samples_ms[:2])
    latency = summarize_latency([sample for samples in rounds for sample in samples])
    settings = report.settings.model_copy(update={"rounds": 2, "iterations": 2})
    result = first.model_copy(update={"samples_ms": rounds, "latency": latency})
    return report.model_copy(update={"settings": settings, "results": (result,)})


def apply_fault(value: dict[str, Any], fault: Fault) -> dict[str, Any]:
    """A copy with the fault."""
    copy = deepcopy(value)
    *way, last = fault.place
    inner: Any = copy
    for key in way:
        inner = inner[key]
    if fault.value is ABSENT:
        del inner[last]
    else:
        inner[last] = fault.value
    return copy


def to_newer_minor(value: dict[str, Any]) -> dict[str, Any]:
    """A copy of the next minor version, with a field that is unknown here at the top and one within each part."""
    copy = {
        key: {**part, "added": [1, 2]} if has_own_fields(key, part) else part for key, part in deepcopy(value).items()
    }
    major, minor = parse_version(value["schema_version"])
    newer = {
        **copy,
        "schema_version": f"{major}.{minor + 1}",
        "added_later": {"by": "a newer version", "values": [0.5, None]},
    }
    checksum = newer.pop(CHECKSUM_FIELD, None)
    return newer if checksum is None else {**newer, CHECKSUM_FIELD: compute_content_sha256(newer)}


def has_own_fields(key: str, part: Any) -> bool:
    """Whether a part is one with fields of its own, and not a mapping or the preprocessing, which is closed."""
    return isinstance(part, dict) and key in {"artifact", "device", "settings", "checkpoint", "calibration", "model"}
