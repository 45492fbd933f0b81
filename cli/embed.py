"""`shvit-mobile embed`: copies artifacts into an app, with everything that the app needs, and removes them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shvit_mobile.errors import MissingParameter
from shvit_mobile.report.formatting import format_megabytes

from . import options as opt
from .console import print_json, print_table
from .tables import create_table, format_cell

if TYPE_CHECKING:
    from shvit_mobile.apps.embed import EmbedPlan
    from shvit_mobile.apps.projects import App
    from shvit_mobile.apps.record import EmbeddedModel


def embed(
    artifacts: opt.EmbeddedArtifactsArgument = None,
    into: opt.App = None,
    undo: opt.Undo = False,
    any_version: opt.AnyVersion = False,
    overwrite: opt.Overwrite = False,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Copy artifacts into an iOS or Android app.

    Copies all of them or none, each with its manifest, labels and goldens. Never touches files that it did not copy.
    """
    if into is None:
        raise MissingParameter(
            "No app is given.", why="The artifacts go into its source tree.", hint="Set `into=ios_demo`, for example."
        )
    if not artifacts and not undo:
        raise MissingParameter("No artifact is given.", hint=f"Try: shvit-mobile embed ARTIFACT --into {into}")

    from shvit_mobile.apps.projects import find_app_folder, open_app

    app = open_app(find_app_folder(into))
    if undo:
        _remove_models(
            app, [path.stem for path in artifacts or []], overwrite=overwrite, dry_run=dry_run, as_json=as_json
        )
        return

    from shvit_mobile.apps.embed import check_embed_overwrite, embed_artifacts, plan_embeds
    from shvit_mobile.targets.stored_facts import open_artifact

    plans = plan_embeds([open_artifact(path) for path in artifacts or []], app, any_version=any_version)
    if dry_run:
        check_embed_overwrite(plans, app, overwrite=overwrite)
    else:
        embed_artifacts(plans, app, overwrite=overwrite)
    if as_json:
        models = [{"name": one.name, "path": str(one.folder), "size_bytes": one.size_bytes} for one in plans]
        total = sum(one.size_bytes for one in plans)
        print_json({"dry_run": dry_run, "app": app.kind, "models": models, "size_bytes": total})
        return
    _print_plans(plans, app, dry_run=dry_run)
    if not dry_run:
        print_table("", *(f"{number}. {step}" for number, step in enumerate(_describe_next_steps(plans, app), 1)))


def _print_plans(plans: Sequence[EmbedPlan], app: App, *, dry_run: bool) -> None:
    table = create_table("", "artifact", "precision")
    table.add_column("MB", justify="right", no_wrap=True)
    for one in plans:
        manifest = one.artifact.manifest
        table.add_row(
            format_cell(one.artifact.path.name), format_cell(manifest.precision_name), format_megabytes(one.size_bytes)
        )
    print_table(
        f"{'Would be copied' if dry_run else 'Copied'} into {app.models}",
        table,
        "",
        f"The app grows by {format_megabytes(sum(one.size_bytes for one in plans))} MB, goldens included.",
    )


def _describe_next_steps(plans: Sequence[EmbedPlan], app: App) -> list[str]:
    """Return what the user has to do next."""
    from shvit_mobile.apps.embed import format_undo_command

    if app.kind == "ios":
        project = next(app.root.glob("*.xcodeproj"), app.root)
        begin = [
            f"Open {project} in Xcode.",
            f"Check that {app.models.relative_to(app.root)} is in the app's target, as a folder and not as a group.",
            "Run the app on a phone: times from a simulator are meaningless.",
        ]
    else:
        suffixes = " and ".join(f'"{suffix}"' for suffix in sorted({one.artifact.path.suffix[1:] for one in plans}))
        begin = [
            f"Open {app.root} in Android Studio and let Gradle sync.",
            f"Check that androidResources in the build adds {suffixes} to noCompress, so that models load quickly.",
            "Run the release variant on a phone: times from a debug build are meaningless.",
        ]
    return [
        *begin,
        "Check the goldens in the app before you trust its numbers.",
        f"To undo: {format_undo_command(app)}",
    ]


def _remove_models(app: App, names: Sequence[str], *, overwrite: bool, dry_run: bool, as_json: bool) -> None:
    """Remove embedded models, or print what would be removed."""
    from shvit_mobile.apps.embed import remove_models, select_removable_models

    models = select_removable_models(app, names, overwrite=overwrite)
    kept = () if dry_run else remove_models(app, models)
    if as_json:
        removed = [{"name": model.name, "size_bytes": model.size_bytes} for model in models]
        print_json({"dry_run": dry_run, "app": app.kind, "removed": removed, "kept": [str(folder) for folder in kept]})
        return
    print_table(*(f"{'Would be removed' if dry_run else 'Removed'}: {_describe_model(model)}" for model in models))
    print_table(*(f"{folder} stays: it contains files that embed did not copy." for folder in kept))


def _describe_model(model: EmbeddedModel) -> str:
    return f"{model.name}, {format_megabytes(model.size_bytes)} MB, embedded {model.created}"
