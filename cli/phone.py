"""`shvit-mobile phone`: measures artifacts on a connected phone and compares the report as `devices` does."""

from __future__ import annotations

import re

from shvit_mobile.errors import InvalidValue

from . import options as opt
from .arguments import parse_share
from .console import print_note
from .devices import print_comparison
from .progress import JobProgress


def phone(
    artifacts: opt.PhoneArtifactsArgument = None,
    device: opt.PhoneDevice = None,
    into: opt.PhoneApp = None,
    team: opt.Team = None,
    timeout: opt.Timeout = 600,
    any_version: opt.AnyVersion = False,
    rounds: opt.PhoneRounds = None,
    seconds: opt.PhoneSeconds = None,
    iterations: opt.PhoneIterations = None,
    warm_up: opt.PhoneWarmUp = None,
    sustained: opt.Sustained = None,
    threads: opt.PhoneThreads = None,
    compute: opt.ComputeUnits = None,
    allow_low_power: opt.AllowLowPower = False,
    allow_heat: opt.AllowHeat = False,
    baseline: opt.Baseline = None,
    max_slowdown: opt.MaxSlowdown = None,
    out: opt.PhoneReport = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Measure artifacts on a connected phone.

    Embeds them into an app, builds and installs it, runs its benchmark, fetches the report, and compares it as the
    command devices does. Exit status 1 if a golden check failed, or if the run is slower than its earlier run.
    """
    limit = None if max_slowdown is None else parse_share("--max-slowdown", max_slowdown)
    counts = None if threads is None else _parse_threads(threads)

    from shvit_mobile.apps.collect import collect_device_reports
    from shvit_mobile.apps.phone.request import BenchmarkRequest, create_run_id
    from shvit_mobile.apps.phone.run import measure_on_phone

    earlier = collect_device_reports(baseline or [])
    request = BenchmarkRequest(
        create_run_id(),
        rounds=rounds,
        iterations=iterations,
        seconds=seconds,
        warm_up=warm_up,
        sustained_s=sustained,
        threads=counts or (),
        compute=tuple(str(unit) for unit in compute or ()),  # type: ignore[misc]
        allow_low_power=allow_low_power,
        allow_heat=allow_heat,
    )
    with JobProgress("Phone") as progress:
        found = measure_on_phone(
            artifacts or [],
            request,
            app=into,
            device=device,
            team=team,
            any_version=any_version,
            timeout=timeout,
            out=out,
            overwrite=overwrite,
            progress=progress.follow,
        )
    for sentence in found.notes:
        print_note(f"note: {sentence}")
    print_note(f"The report of {found.phone} is {found.run.source}.")
    more = {"report": found.run.source, "run_id": request.run_id, "notes": list(found.notes)}
    print_comparison([found.run], found.manifests, earlier, limit, as_json=as_json, more=more)


def _parse_threads(text: str) -> tuple[int, ...]:
    """Return the numbers of '1,2,4'."""
    if not re.fullmatch(r"[1-9]\d?(,[1-9]\d?)*", text, re.ASCII):
        raise InvalidValue(
            f"--threads is '{text}'.", why="It lists numbers of at least 1, separated by commas.", hint="Try: 1,2,4"
        )
    return tuple(dict.fromkeys(map(int, text.split(","))))
