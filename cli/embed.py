"""`shvit-mobile embed`: artifacts into an app, with all that it needs, and out again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shvit_mobile.errors import InvalidConfig

from .console import print_json, print_table
from .options import OUTPUT_PANEL, JsonOption, OverwriteOption
from .tables import create_table, format_cell, format_megabytes

if TYPE_CHECKING:
    from shvit_mobile.apps.embed import EmbedPlan
    from shvit_mobile.apps.projects import App
    from shvit_mobile.apps.record import EmbeddedModel

BUNDLED_APPS = ("ios_demo", "android_demo")


def embed(
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(metavar="ARTIFACT...", help="One or more .mlpackage or .pte; with --undo, none means all."),
    ] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="ios_demo|android_demo|PATH", help="The app's source tree.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take out what was embedded, and nothing else.")] = False,
    any_version: Annotated[
        bool, typer.Option("--any-version", help="Whatever ExecuTorch the app links: it may not run the program.")
    ] = False,
    overwrite: OverwriteOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put artifacts into an iOS or Android app, with manifest, labels and goldens.

    All of them or none. What embed did not put there it never touches.
    """
    if into is None:
        raise InvalidConfig("No --into is given.", why="It says which app.", hint="Try: --into ios_demo")
    if not artifacts and not undo:
        raise InvalidConfig("No artifact is given.", hint=f"Try: shvit-mobile embed ARTIFACT --into {into}")

    from shvit_mobile.apps.projects import open_app

    app = open_app(find_app_folder(into))
    if undo:
        remove_models(
            app, [path.stem for path in artifacts or []], overwrite=overwrite, dry_run=dry_run, as_json=as_json
        )
        return

    from shvit_mobile.apps import embed as work
    from shvit_mobile.contracts.artifact import Artifact

    parcels = work.plan_embeds([Artifact.open(path) for path in artifacts or []], app, any_version=any_version)
    if dry_run:
        work.check_embed_overwrite(parcels, app, overwrite=overwrite)
    else:
        work.embed_artifacts(parcels, app, overwrite=overwrite)
    if as_json:
        models = [{"name": one.name, "path": str(one.folder), "size_bytes": one.size_bytes} for one in parcels]
        total = sum(one.size_bytes for one in parcels)
        print_json({"dry_run": dry_run, "app": app.kind, "models": models, "size_bytes": total})
        return
    print_parcels(parcels, app, dry_run=dry_run)
    if not dry_run:
        print_table("", *(f"{number}. {step}" for number, step in enumerate(describe_next_steps(app), 1)))


def find_app_folder(into: Path) -> Path:
    """The folder that --into names: a path, or one of this project's own apps by its name."""
    if into.exists() or str(into) not in BUNDLED_APPS:
        return into
    source = Path(__file__).resolve().parents[1]
    known = [folder / into for folder in (Path.cwd(), *Path.cwd().parents, source)]
    found = next((path for path in known if path.is_dir()), None)
    if found is None:
        raise InvalidConfig(
            f"There is no {into} here.",
            why=f"Looked for in {Path.cwd()}, in the folders above it and in {source}.",
            hint="Give the path of an app's source tree.",
        )
    return found


def print_parcels(parcels: Sequence[EmbedPlan], app: App, *, dry_run: bool) -> None:
    table = create_table(f"{'Would go' if dry_run else 'Embedded'} into {app.models}", "artifact", "precision")
    table.add_column("MB", justify="right", no_wrap=True)
    for one in parcels:
        manifest = one.artifact.manifest
        table.add_row(
            format_cell(one.artifact.path.name), format_cell(manifest.precision_name), format_megabytes(one.size_bytes)
        )
    print_table(
        table, "", f"The app grows by {format_megabytes(sum(one.size_bytes for one in parcels))} MB, goldens and all."
    )


def describe_next_steps(app: App) -> list[str]:
    """What a person does now."""
    if app.kind == "ios":
        project = next(app.root.glob("*.xcodeproj"), app.root)
        begin = [
            f"Open {project} in Xcode.",
            f"See that {app.models.relative_to(app.root)} belongs to the app's target, as a folder and not as a group.",
            "Run the app on a phone: a simulator's times mean nothing.",
        ]
    else:
        begin = [
            f"Open {app.root} in Android Studio and let Gradle sync.",
            'See that the app\'s build has androidResources { noCompress += "pte" }, so that programs load quickly.',
            "Run the app on a phone, in the release variant: a debug build's times mean nothing.",
        ]
    return [
        *begin,
        "Check the goldens in the app before you believe a figure of it.",
        f"To undo: {format_undo_command(app)}",
    ]


def format_undo_command(app: App) -> str:
    from shvit_mobile.apps.embed import format_undo_command

    return format_undo_command(app)


def remove_models(app: App, names: Sequence[str], *, overwrite: bool, dry_run: bool, as_json: bool) -> None:
    """Undoes an embedding, or says what that would do."""
    from shvit_mobile.apps.embed import remove_models, select_removable_models

    models = select_removable_models(app, names, overwrite=overwrite)
    kept = () if dry_run else remove_models(app, models)
    if as_json:
        removed = [{"name": model.name, "size_bytes": model.size_bytes} for model in models]
        print_json({"dry_run": dry_run, "app": app.kind, "removed": removed, "kept": [str(folder) for folder in kept]})
        return
    print_table(*(f"{'Would take out' if dry_run else 'Taken out'}: {describe_model(model)}" for model in models))
    print_table(*(f"{folder} stays: there are files in it that embed did not put there." for folder in kept))


def describe_model(model: EmbeddedModel) -> str:
    return f"{model.name}, {format_megabytes(model.size_bytes)} MB, embedded {model.created}"
