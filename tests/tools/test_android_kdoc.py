"""The check that public Kotlin declarations have KDoc."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "android"))

from kdoc import find_undocumented, list_undocumented  # noqa: E402

DOCUMENTED = """\
/** A model. */
@Suppress("unused")
class Model(
    val name: String,
    private val size: (Int) -> Int,
) : Closeable {
    private val hidden = 1
    internal fun inside() = 2

    /** Runs it. */
    fun run(): Int {
        val local = 3
        return local
    }

    override fun close() = Unit

    companion object {
        /** Loads it. */
        fun load(): Model = TODO()
    }
}

/** Doubles a number. */
fun Int.doubled(): Int = 2 * this

private class Own {
    fun free() = Unit
}
"""


def undocumented_names(text: str) -> list[str]:
    return [name for _, name in list_undocumented(text)]


def test_documented_and_hidden_declarations_pass() -> None:
    assert undocumented_names(DOCUMENTED) == []


@pytest.mark.parametrize(
    ("comment", "name"),
    [
        ("/** A model. */\n", "Model"),
        ("    /** Runs it. */\n", "run"),
        ("        /** Loads it. */\n", "load"),
        ("/** Doubles a number. */\n", "doubled"),
    ],
)
def test_a_public_declaration_without_kdoc_is_found(comment: str, name: str) -> None:
    assert undocumented_names(DOCUMENTED.replace(comment, "")) == [name]


def test_a_published_source_without_kdoc_is_named_with_its_line(tmp_path: Path) -> None:
    source = tmp_path / "Model.kt"
    source.write_text("package dev.shvit\n\nfun interface Model\n", encoding="utf-8")
    assert list(find_undocumented([source])) == ["Model.kt:3: Model has no KDoc."]


@pytest.mark.parametrize("module", ["shvit-core", "shvit", "shvit-litert", "shvit-camerax"])
def test_every_public_declaration_of_a_published_module_has_kdoc(module: str) -> None:
    sources = sorted((ROOT / "android_demo" / module / "src/main").rglob("*.kt"))
    assert sources
    assert list(find_undocumented(sources)) == []
