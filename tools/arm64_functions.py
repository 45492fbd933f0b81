"""Print which functions of the runtime execute an int8 or float program's instructions on an emulated phone CPU.

    python tools/arm64_functions.py artifacts/demo/shvit_s1-224-executorch-int8.pte --cpu dotprod

Needs `shvit-mobile doctor --install arm64`. Functions have no names, only addresses and what they execute: the library
has no symbols. The number of calls often tells the operator: a kernel is called once for an operator, a row or a tile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.runtimes.arm64.counter import open_counter
from shvit_mobile.runtimes.arm64.counting import count_functions, name_work
from shvit_mobile.runtimes.arm64.cpus import DEFAULT_CPU, find_cpu
from shvit_mobile.runtimes.arm64.runner import check_emulated
from shvit_mobile.runtimes.arm64.sysroot import open_sysroot


def main(
    program: Annotated[Path, typer.Argument(help="An ExecuTorch artifact for XNNPACK.")],
    cpu: Annotated[str, typer.Option(help="The CPU to emulate: neon, dotprod or i8mm.")] = DEFAULT_CPU,
    count: Annotated[int, typer.Option(help="The number of functions to print.")] = 30,
) -> None:
    artifact = Artifact.open(program)
    check_emulated(artifact)
    found = count_functions(open_counter(), open_sysroot(), find_cpu(cpu), artifact.path, artifact.manifest.input.shape)
    total = sum(sum(one.kinds.values()) for one in found)
    print(f"{total:,} instructions on {cpu}\n")
    print("| address | instructions | calls | work | by kind |\n|---|---:|---:|---|---|")
    for one in found[:count]:
        kinds = ", ".join(
            f"{kind} {number:,}" for kind, number in sorted(one.kinds.items(), key=lambda item: -item[1]) if number
        )
        print(f"| {one.address:x} | {sum(one.kinds.values()):,} | {one.calls} | {name_work(one.kinds)} | {kinds} |")


if __name__ == "__main__":
    typer.run(main)
