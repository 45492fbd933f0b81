"""Compiles the Kotlin code of the app's README, so that a reader can paste it."""

from __future__ import annotations

import re
from pathlib import Path

from compiling import CompiledModules, check_status
from toolchain import Toolchain

from shvit_mobile.errors import ShvitError

BLOCK = re.compile(r"^```kotlin\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# From an embedded model to the most likely classes.
MOST_LINES = 4
# What the reader's app has.
SURROUNDINGS = """\
package readme

import android.content.Context
import android.graphics.Bitmap
import android.media.Image
import android.util.Log
import androidx.camera.core.ImageAnalysis
import dev.shvit.*
import dev.shvit.camerax.*
import dev.shvit.core.*
import dev.shvit.core.images.*
import dev.shvit.core.models.*
import dev.shvit.core.screen.*
import dev.shvit.litert.*
import java.util.concurrent.Executor

fun snippet{number}(context: Context, bitmap: Bitmap, image: Image, analysis: ImageAnalysis, executor: Executor) {{
{code}}}
"""


class BadSnippet(ShvitError):
    """The README's code is not what its text promises."""


def compile_snippets(tools: Toolchain, modules: CompiledModules, readme: Path, into: Path) -> int:
    """Compile the Kotlin blocks of a README with warnings as errors, and return their number.

    Raises:
        BadSnippet: If there is none, or the first is longer than promised.
        CompileFailed: If one does not compile.
    """
    blocks = BLOCK.findall(readme.read_text(encoding="utf-8"))
    if not blocks:
        raise BadSnippet(f"{readme.name} has no Kotlin code.", why="It should show how to classify a picture.")
    lines = blocks[0].count("\n")
    if lines > MOST_LINES:
        raise BadSnippet(f"{readme.name} begins with {lines} lines of Kotlin.", why=f"{MOST_LINES} are promised.")
    into.mkdir(parents=True)
    sources = [into / f"Snippet{number}.kt" for number in range(len(blocks))]
    for number, (source, code) in enumerate(zip(sources, blocks, strict=True)):
        source.write_text(SURROUNDINGS.format(number=number, code=code), encoding="utf-8")
    known = list(modules.app_path)
    check_status(f"The code of {readme.name}", tools.kotlinc_android(sources, into / "classes", known))
    return len(blocks)
