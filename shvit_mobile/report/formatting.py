"""Formats numbers, names and execution modes alike on the terminal, the page and the model card."""

from __future__ import annotations

import re
from datetime import datetime
from math import inf, isfinite, isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shvit_mobile.contracts.drift_row import AveragePrecisionDrift, DriftRow, Execution, ProportionEstimate

NO_VALUE = "–"
MINUS = "\N{MINUS SIGN}"
PRECISION_ORDER = (
    "fp32",
    "fp16",
    "int8",
    "mixed",
    "int8-dynamic",
    "int8-weights",
    "palette-8",
    "palette-6",
    "palette-4",
)
_TARGET_NAMES = {
    "onnx": "ONNX",
    "coreml": "Core ML",
    "executorch": "ExecuTorch",
    "executorch-coreml": "ExecuTorch with Core ML",
    "executorch-vulkan": "Unproven: ExecuTorch with Vulkan",
    "litert": "LiteRT",
    "coreai": "Core AI (experimental)",
}
COMPUTE_NAMES = {
    "cpu": "CPU",
    "cpu-and-gpu": "CPU + GPU",
    "cpu-and-neural-engine": "CPU + Neural Engine",
    "all": "all processors",
}
# What ran an artifact, as the end of a sentence and in full.
EXECUTION_PHRASES: dict[Execution, str] = {
    "native": "run natively",
    "reference": "run by the reference executor",
    "emulated": "run on an emulated CPU",
    "simulated": "simulated in PyTorch",
}
EXECUTION_DESCRIPTIONS: dict[Execution, str] = {
    "native": "The target's own runtime ran the artifact.",
    "reference": "shvit-mobile's executor of the Core ML specification ran the artifact. It computes what the file "
    "specifies, but not with the kernels of a phone.",
    "emulated": "The target's own runtime ran the artifact on an emulated CPU.",
    "simulated": "PyTorch simulated the artifact's arithmetic; no artifact ran.",
}


def format_number(value: float, digits: int) -> str:
    """Return a number with `digits` decimals, a true minus sign, and no minus before a zero."""
    if not isfinite(value):
        return "not a number" if isnan(value) else "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def format_percent(share: float | None, digits: int = 1) -> str:
    """Return a share of 0 to 1 in percent, without the sign; a share below 1 never reads as 100."""
    if share is None:
        return NO_VALUE
    text = format_number(100 * share, digits)
    return format_number(100 - 10**-digits, digits) if share < 1 and float(text) == 100 else text


def format_interval(share: ProportionEstimate | None) -> str:
    return "" if share is None else f"{format_percent(share.low)}–{format_percent(share.high)}"


def format_share(share: ProportionEstimate | None, pattern: str = "{} ({})") -> str:
    """Return a share in percent with its interval."""
    return NO_VALUE if share is None else pattern.format(format_percent(share.value, 2), format_interval(share))


def format_points(value: float | None) -> str:
    """Return points of top-1 or of average precision."""
    return NO_VALUE if value is None else format_number(value, 2)


def format_drop_interval(row: DriftRow) -> str:
    low, high = row.top1_drop_interval or (None, None)
    return "" if low is None or high is None else f"{format_points(low)} to {format_points(high)}"


def format_ap(value: float | None) -> str:
    """Return an average precision in percent; one below 100 never reads as 100."""
    return NO_VALUE if value is None else format_percent(value / 100, 2)


def format_ap_drop(drift: AveragePrecisionDrift, pattern: str = "{} ({})") -> str:
    """Return the drop of average precision in points, with its interval."""
    low, high = map(format_points, drift.drop_interval)
    return pattern.format(format_points(drift.drop), f"{low} to {high}")


def format_decibels(value: float) -> str:
    """Return decibels with one decimal, or none from 100 on."""
    return format_number(value, 0 if abs(value) >= 100 else 1)


def format_cosine(value: float) -> str:
    """Return a cosine with four decimals; one below 1 never reads as 1."""
    return "0.9999" if 0.99995 <= value < 1 else format_number(value, 4)


def format_significant(value: float | None, digits: int = 2) -> str:
    """Return a number with a few significant digits."""
    if value is None:
        return NO_VALUE
    if not isfinite(value):
        return format_number(value, 0)
    if 1000 <= abs(value) < 1e7:
        return format_thousands(round(value)).replace("-", MINUS)
    text = f"{value:.{digits}g}"
    mantissa, found, exponent = text.partition("e")
    return (f"{mantissa}e{int(exponent)}" if found else text).replace("-", MINUS)


def format_megabytes(count: float | None) -> str:
    """Return bytes in megabytes of a million bytes."""
    return NO_VALUE if count is None else format_number(count / 1e6, 2 if count < 1e7 else 1 if count < 1e8 else 0)


def format_milliseconds(value: float | None) -> str:
    """Return milliseconds with three significant digits."""
    if value is None:
        return NO_VALUE
    return format_number(value, 2 if value < 9.995 else 1 if value < 99.95 else 0)


def format_thousands(count: int) -> str:
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def pluralize(count: int, one: str, many: str = "") -> str:
    """Return "1 image" or "3 images"."""
    return f"{format_thousands(count)} {one if count == 1 else many or f'{one}s'}"


def join_words(words: list[str]) -> str:
    """Return "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def format_timestamp(created: str) -> str:
    """Return an ISO 8601 time as "2025-02-14 09:30 UTC+01:00"; any other text stays as it is."""
    try:
        return datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return created


def format_target(target: str | None) -> str:
    return _TARGET_NAMES.get(target or "", target or NO_VALUE)


def abbreviate_sha256(sha256: str | None) -> str:
    """Return the first digits of a SHA-256."""
    return NO_VALUE if sha256 is None else f"{sha256[:12]}…"


def find_rank(name: str | None, names: tuple[str, ...]) -> float:
    """Return the position of a name in an order; infinity if it is not in it."""
    return names.index(name) if name in names else inf


def format_model_name(variant: str) -> str:
    """Return "SHViT-S1" for "shvit_s1"; other names stay as they are."""
    found = re.fullmatch(r"shvit_(s\d)", variant)
    return f"SHViT-{found[1].upper()}" if found else variant
