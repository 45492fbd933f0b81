"""Writes a comparison of devices as CSV."""

import csv
import io

from shvit_mobile.apps.devices import DeviceComparison, DeviceRow


def format_csv(comparison: DeviceComparison) -> str:
    """Return a line for each row, with the slowdown since its earlier run where there is one."""
    earlier = {(one.later, one.artifact, one.unit): one for one in comparison.comparisons}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*DeviceRow.model_fields, "earlier", "slowdown", "slowdown_low", "slowdown_high"])
    for row in comparison.rows:
        one = earlier.get((row.source, row.artifact, row.unit))
        slowdown = (one.earlier, *vars(one.slowdown).values()) if one else (None,) * 4
        values = (*(getattr(row, name) for name in DeviceRow.model_fields), *slowdown)
        writer.writerow([_escape_formula(value) for value in values])
    return text.getvalue()


def _escape_formula(value: object) -> object:
    """Return a value that no spreadsheet runs as a formula: names come from files that anyone may write."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
