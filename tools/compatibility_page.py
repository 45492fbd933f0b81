"""Write docs/compatibility.md from what compatibility_table.py and compare_neighbours.py have recorded.

python tools/compatibility_page.py > docs/compatibility.md
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

Document = dict[str, Any]
# Returns the cell of a column for a model; empty if nothing was measured.
Column = Callable[[Document], str]
TITLES = {
    "executorch": "ExecuTorch with XNNPACK",
    "coreml": "Core ML, in the reference executor",
    "onnx": "ONNX Runtime",
    "litert": "LiteRT",
}
PRECISIONS = ("fp32", "fp16", "int8")
NEIGHBOURS = "neighbours.json"
FAILED = "no"

_INTRODUCTION = """\
# Compatibility

What comes of exporting SHViT and its neighbours, all models of [timm](guides/models.md#models-of-timm), with this
tool. Each artifact was run on {pictures} of the embedded pictures and compared with the checkpoint. "no" is a failure,
with its reason below the table; an empty cell was not measured.

- **dB** is the SQNR of the logits against the checkpoint in float64. Rounding in float32 alone gives 90 to 130 dB.
- **Weights are random**, because trained ones could not be downloaded where this was measured: norms, biases and layer
  scales are drawn, statistics of BatchNorms come from pictures, and the branches of residual blocks are small. fp32 and
  fp16 show whether an export is right. **int8 in dB says nothing about accuracy**: it shows that int8 works, with plain
  calibration on {calibration} pictures and no [passes](quantization.md#passes).
- **left outside** are the operators that XNNPACK does not take, which run on ExecuTorch's portable kernels.
- **times as fast as stock** compares with the runtime's own exporter and quantizer on the same network
  (`shvit_mobile/bench/stock.py`): both take turns on one thread, each in its own process; the interval is that of the
  ratios within rounds. Core ML is not timed, because it runs on Apple's systems only.
- **processor s** is the processor time of one export in fp32, with its verification, in seconds.
"""

_METHOD = """\
## How it was measured

```bash
python tools/compatibility_table.py
python tools/compatibility_table.py --stock
python tools/compatibility_table.py --latency   # this and the next on a quiet machine
python tools/compare_neighbours.py
python tools/compatibility_page.py > docs/compatibility.md
```
"""


def main(
    folder: Annotated[Path, typer.Argument(help="The folder of the results.")] = Path("build/compatibility"),
) -> None:
    neighbours = folder / NEIGHBOURS
    documents = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json") if path != neighbours]
    compared = json.loads(neighbours.read_text("utf-8")) if neighbours.exists() else None
    print(format_page(documents, compared), end="")


def format_page(documents: Sequence[Document], neighbours: Document | None = None) -> str:
    """Format the page.

    Args:
        documents: What is recorded of each model.
        neighbours: What is recorded of the comparison with SHViT-S4, if there is one.
    """
    documents = sorted(documents, key=lambda document: document["order"])
    jobs = {job for document in documents for job in document.get("entries", {})}
    tried = [target for target in TITLES if any(job.split()[0] == target for job in jobs)]
    counts = {"pictures": documents[0]["pictures"], "calibration": documents[0]["calibration"]}
    sections = [_INTRODUCTION.format(**counts), *(format_target(target, documents) for target in tried)]
    if neighbours:
        sections.append(format_neighbours(neighbours))
    return "\n".join([*sections, _METHOD, format_origin(documents, neighbours)])


def format_target(target: str, documents: Sequence[Document]) -> str:
    """Format the table of a target, and below it the reasons why an export failed."""
    tried = [
        precision for precision in PRECISIONS if any("bytes" in get_entry(one, target, precision) for one in documents)
    ]
    columns = {name: column for name, column in _list_columns(target, tried) if any(map(column, documents))}
    rows = [[f"`{one['model']}`", *(column(one) for column in columns.values())] for one in documents]
    table = format_table(["model", *columns], rows)
    reasons = [*_list_common_reasons(target, tried, documents), *_list_reasons(target, tried, documents)]
    return "\n".join([f"## {TITLES[target]}\n", table, *(["", *reasons] if reasons else []), ""])


def get_entry(document: Document, target: str, precision: str) -> Document:
    entry: Document = document.get("entries", {}).get(f"{target} {precision}", {})
    return entry


def format_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table whose first column is text and whose others are figures."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(
        f"| {' | '.join(line)} |".replace("| --- |", "|---|").replace(" ---: |", "---:|") for line in lines
    )


def _list_columns(target: str, precisions: Sequence[str]) -> Iterator[tuple[str, Column]]:
    def read(precision: str, write: Callable[[Document], str]) -> Column:
        def column(document: Document) -> str:
            entry = get_entry(document, target, precision)
            return write(entry) if "bytes" in entry else ""

        return column

    def read_db(precision: str) -> Column:
        def column(document: Document) -> str:
            entry = get_entry(document, target, precision)
            return f"{entry['sqnr_db']:.1f}" if "bytes" in entry else FAILED if entry else ""

        return column

    for precision in precisions:
        yield f"{precision}, dB", read_db(precision)
    for precision in precisions:
        yield f"{precision}, delegates", read(precision, lambda entry: str(entry.get("delegates", "")))
    for precision in precisions:
        yield f"{precision}, left outside", read(precision, format_left)
    for precision in precisions:
        yield f"{precision}, MB", read(precision, lambda entry: f"{entry['bytes'] / 1e6:.1f}")
    for precision in precisions:
        yield f"{precision}, ms", lambda document, p=precision: format_ms(get_latency(document, target, p))
        yield (
            f"{precision}, times as fast as stock",
            lambda document, p=precision: format_speed(get_latency(document, target, p)),
        )
    yield "processor s", read("fp32", format_seconds)


def format_seconds(entry: Document) -> str:
    return f"{entry['processor_seconds']:.0f}" if "processor_seconds" in entry else ""


def get_latency(document: Document, target: str, precision: str) -> Document:
    latency: Document = document.get("latency", {}).get(f"{target} {precision}", {})
    return latency


def format_left(entry: Document) -> str:
    """Format the operators that no delegate runs: "2 mean, 1 split"."""
    left = entry.get("left", {})
    names = (f"{count} {name.partition('::')[2].partition('.')[0]}" for name, count in sorted(left.items()))
    return ", ".join(names) or ("-" if "left" in entry else "")


def format_ms(latency: Document) -> str:
    return f"{latency['ms']:.2f}" if latency else ""


def format_speed(latency: Document) -> str:
    if "ratio" in latency:
        return format_ratio(latency["ratio"])
    return "no stock export" if "stock_reason" in latency else ""


def format_ratio(ratio: Document) -> str:
    return f"{ratio['value']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"


def _list_common_reasons(target: str, tried: Sequence[str], documents: Sequence[Document]) -> Iterator[str]:
    """Yield the reasons why a precision failed for all models."""
    for precision in PRECISIONS:
        if precision not in tried and (entry := get_entry(documents[0], target, precision)):
            yield f"- {precision}: {entry['reason']}"


def _list_reasons(target: str, tried: Sequence[str], documents: Sequence[Document]) -> Iterator[str]:
    for one in documents:
        reasons: dict[str, list[str]] = {}
        for precision in tried:
            entry, latency = get_entry(one, target, precision), get_latency(one, target, precision)
            if "reason" in entry:
                reasons.setdefault(entry["reason"], []).append(precision)
            if "stock_reason" in latency:
                reasons.setdefault(latency["stock_reason"], []).append(f"stock {precision}")
        for reason, where in reasons.items():
            yield f"- `{one['model']}`, {', '.join(where)}: {escape(reason)}"


def escape(text: str) -> str:
    """Return the first line of an error as Markdown that shows it as it is, with a full stop."""
    text = text.partition("\n")[0]
    for character in "\\<>*_`[]|":
        text = text.replace(character, f"\\{character}")
    return text if text.endswith((".", "?", "!")) else f"{text}."


def format_neighbours(neighbours: Document) -> str:
    """Format the comparison of SHViT-S4 with its neighbours, a table of both runtimes."""
    rows = [
        [
            f"`{one['model']}`",
            "x".join(map(str, one.get("size", ()))),
            f"{one['macs'] / 1e6:.0f}" if one.get("macs") else "",
            *(cell for target in neighbours["targets"] for cell in _format_contestant(one.get(target, {}))),
        ]
        for one in neighbours["models"]
    ]
    base = neighbours["models"][0]["model"]
    titles = [
        heading
        for target in neighbours["targets"]
        for heading in (f"{TITLES[target].split()[0]}, ms", f"{base} is times as fast")
    ]
    settings = neighbours["settings"]
    return "\n".join(
        [
            f"## {base} in int8 beside its neighbours\n",
            "The models that the SHViT paper compares with, each at the size that timm has it in, all exported by this",
            "tool in int8. They take turns on one thread, each in its own process, in",
            f"{settings['rounds']} rounds of {settings['iterations']} inferences. Weights are random, which does not",
            "change latency and says nothing about which of them is more accurate.\n",
            format_table(["model", "size", "million multiply-adds", *titles], rows),
            "",
        ]
    )


def _format_contestant(found: Document) -> tuple[str, str]:
    if "ms" not in found:
        return FAILED if found else "", ""
    return f"{found['ms']:.2f}", format_ratio(found["ratio"]) if "ratio" in found else "1"


def format_origin(documents: Sequence[Document], neighbours: Document | None) -> str:
    """Return the commits, the versions and the machine that the figures are of."""
    entries = [entry for one in documents for entry in one.get("entries", {}).values()]
    timed = [one["latency"] for one in documents if "latency" in one] + ([neighbours] if neighbours else [])
    facts = [f"Exports: commit {_join(entry['commit'] for entry in entries)}."]
    if timed:
        facts.append(
            f"Latencies: commit {_join(one['commit'] for one in timed)}, {_join(one['host'] for one in timed)}."
        )
    versions = {f"{name} {number}" for one in documents for name, number in one["versions"].items()}
    return f"{' '.join(facts)} Versions: {', '.join(sorted(versions))}.\n"


def _join(values: Iterator[str]) -> str:
    return ", ".join(sorted(set(values)))


if __name__ == "__main__":
    typer.run(main)
