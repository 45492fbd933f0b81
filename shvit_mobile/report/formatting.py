"""How figures read on the page: the same unit and the same digits wherever one appears."""

from __future__ import annotations

import re
from datetime import datetime
from math import inf, isfinite, isnan

from shvit_mobile.contracts.drift_row import DriftRow, ProportionEstimate

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
# As data flows on the ladder: the float model, what PyTorch simulates, then what left PyTorch.
TARGET_ORDER = ("onnx", "coreml", "executorch")
TARGET_NAMES = {"onnx": "ONNX", "coreml": "Core ML", "executorch": "ExecuTorch"}
COMPUTE_NAMES = {
    "cpu": "CPU",
    "cpu-and-gpu": "CPU + GPU",
    "cpu-and-neural-engine": "CPU + Neural Engine",
    "all": "all processors",
}


def format_number(value: float, digits: int) -> str:
    """With so many decimals, a true minus sign, and no minus before a zero."""
    if not isfinite(value):
        return "not a number" if isnan(value) else "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def format_percent(share: float, digits: int = 1) -> str:
    """A share of 0 to 1 in percent, without the sign. What is not all of it never reads as 100."""
    text = format_number(100 * share, digits)
    return format_number(100 - 10**-digits, digits) if share < 1 and float(text) == 100 else text


def format_interval(share: ProportionEstimate) -> str:
    return f"{format_percent(share.low)}–{format_percent(share.high)}"


def format_points(value: float | None) -> str:
    """Points of top-1."""
    return NO_VALUE if value is None else format_number(value, 2)


def format_drop_interval(row: DriftRow) -> str:
    low, high = row.top1_drop_interval or (None, None)
    return "" if low is None or high is None else f"{format_points(low)} to {format_points(high)}"


def format_decibels(value: float) -> str:
    """Whole ones from 100 on, where the next digit says nothing."""
    return format_number(value, 0 if abs(value) >= 100 else 1)


def format_significant(value: float, digits: int = 2) -> str:
    """A few significant digits, and powers of ten as people write them."""
    if not isfinite(value):
        return format_number(value, 0)
    if 1000 <= abs(value) < 1e7:
        return format_thousands(round(value)).replace("-", MINUS)
    text = f"{value:.{digits}g}"
    mantissa, found, exponent = text.partition("e")
    return (f"{mantissa}e{int(exponent)}" if found else text).replace("-", MINUS)


def format_megabytes(count: float | None) -> str:
    """Of a million bytes."""
    return NO_VALUE if count is None else format_number(count / 1e6, 2 if count < 1e8 else 0)


def format_milliseconds(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return NO_VALUE
    return format_number(value, 2 if value < 9.995 else 1 if value < 99.95 else 0)


def format_thousands(count: int) -> str:
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def pluralize(count: int, one: str, many: str = "") -> str:
    """ "1 image", "3 images"."""
    return f"{format_thousands(count)} {one if count == 1 else many or f'{one}s'}"


def join_words(words: list[str]) -> str:
    """'a, b and c'."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def format_timestamp(created: str) -> str:
    """ "2025-02-14 09:30 UTC+01:00" of ISO 8601; what is of another form stays as it is."""
    try:
        return datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return created


def format_target(target: str | None) -> str:
    return TARGET_NAMES.get(target or "", target or NO_VALUE)


def abbreviate_sha256(sha256: str | None) -> str:
    """Enough of a SHA-256 to tell two apart."""
    return NO_VALUE if sha256 is None else f"{sha256[:12]}…"


def find_rank(name: str | None, names: tuple[str, ...]) -> float:
    """Where a name stands in an order; behind all others where it does not."""
    return names.index(name) if name in names else inf


def format_model_name(variant: str) -> str:
    """ "SHViT-S1" of "shvit_s1"."""
    found = re.fullmatch(r"shvit_(s\d)", variant)
    return f"SHViT-{found[1].upper()}" if found else variant
