"""How figures read on the page: the same unit and the same digits wherever one appears."""

from __future__ import annotations

import re
from datetime import datetime
from math import inf, isfinite, isnan

from shvit_mobile.contracts.drift_row import DriftRow, Share

NONE = "–"
MINUS = "\N{MINUS SIGN}"
PRECISIONS = ("fp32", "fp16", "int8", "mixed", "int8-dynamic", "int8-weights", "palette-8", "palette-6", "palette-4")
# As data flows on the ladder: the float model, what PyTorch simulates, then what left PyTorch.
TARGETS = ("onnx", "coreml", "executorch")
TARGET_NAMES = {"onnx": "ONNX", "coreml": "Core ML", "executorch": "ExecuTorch"}
COMPUTE_NAMES = {
    "cpu": "CPU",
    "cpu-and-gpu": "CPU + GPU",
    "cpu-and-neural-engine": "CPU + Neural Engine",
    "all": "all processors",
}


def number(value: float, digits: int) -> str:
    """With so many decimals, a true minus sign, and no minus before a zero."""
    if not isfinite(value):
        return "not a number" if isnan(value) else "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def percent(share: float, digits: int = 1) -> str:
    """A share of 0 to 1 in percent, without the sign. What is not all of it never reads as 100."""
    text = number(100 * share, digits)
    return number(100 - 10**-digits, digits) if share < 1 and float(text) == 100 else text


def interval(share: Share) -> str:
    return f"{percent(share.low)}–{percent(share.high)}"


def points(value: float | None) -> str:
    """Points of top-1."""
    return NONE if value is None else number(value, 2)


def drop_interval(row: DriftRow) -> str:
    low, high = row.top1_drop_interval or (None, None)
    return "" if low is None or high is None else f"{points(low)} to {points(high)}"


def decibels(value: float) -> str:
    """Whole ones from 100 on, where the next digit says nothing."""
    return number(value, 0 if abs(value) >= 100 else 1)


def short(value: float, digits: int = 2) -> str:
    """A few significant digits, and powers of ten as people write them."""
    if not isfinite(value):
        return number(value, 0)
    if 1000 <= abs(value) < 1e7:
        return thousands(round(value)).replace("-", MINUS)
    text = f"{value:.{digits}g}"
    mantissa, found, exponent = text.partition("e")
    return (f"{mantissa}e{int(exponent)}" if found else text).replace("-", MINUS)


def megabytes(count: float | None) -> str:
    """Of a million bytes."""
    return NONE if count is None else number(count / 1e6, 2 if count < 1e8 else 0)


def milliseconds(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return NONE
    return number(value, 2 if value < 9.995 else 1 if value < 99.95 else 0)


def thousands(count: int) -> str:
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def plural(count: int, one: str, many: str = "") -> str:
    """ "1 image", "3 images"."""
    return f"{thousands(count)} {one if count == 1 else many or f'{one}s'}"


def listed(words: list[str]) -> str:
    """'a, b and c'."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def moment(created: str) -> str:
    """ "2025-02-14 09:30 UTC+01:00" of ISO 8601; what is of another form stays as it is."""
    try:
        return datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return created


def target_name(target: str | None) -> str:
    return TARGET_NAMES.get(target or "", target or NONE)


def brief(sha256: str | None) -> str:
    """Enough of a SHA-256 to tell two apart."""
    return NONE if sha256 is None else f"{sha256[:12]}…"


def place(name: str | None, names: tuple[str, ...]) -> float:
    """Where a name stands in an order; behind all others where it does not."""
    return names.index(name) if name in names else inf


def model_name(variant: str) -> str:
    """ "SHViT-S1" of "shvit_s1"."""
    found = re.fullmatch(r"shvit_(s\d)", variant)
    return f"SHViT-{found[1].upper()}" if found else variant
