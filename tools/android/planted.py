"""Ten mistakes that a person could make in the Android library, for the checks to be tried on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        what: it is, in words.
        file: of the library's sources.
        right: what stands there once.
        wrong: what stands there instead.
    """

    what: str
    file: str
    right: str
    wrong: str

    def plant(self, sources: Path) -> None:
        """Makes the mistake.

        Raises:
            ValueError: the sources no longer hold what it changes.
        """
        path = sources / self.file
        text = path.read_text()
        if text.count(self.right) != 1:
            raise ValueError(f"{self.file} does not hold '{self.right}' once.")
        path.write_text(text.replace(self.right, self.wrong))


MISTAKES = (
    Mistake(
        "The level of a newer member is not checked",
        "AndroidPhone.kt",
        "        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) return null\n",
        "",
    ),
    Mistake(
        "The level is checked the wrong way round",
        "AndroidPhone.kt",
        "if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return null",
        "if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) return null",
    ),
    Mistake("A member is misspelled", "AndroidPhone.kt", "isPowerSaveMode", "isPowerSavingMode"),
    Mistake("A float is taken for a double", "AndroidPhone.kt", ".toDouble().takeIf(Double::isFinite)", ""),
    Mistake(
        "What only the newest ExecuTorch has is called",
        "ShvitClassifier.kt",
        "        module.destroy()\n        place",
        "        module.close()\n        place",
    ),
    Mistake(
        "What only older ones return is used",
        "ShvitClassifier.kt",
        "status(module.loadMethod(METHOD))",
        "module.loadMethod(METHOD)",
    ),
    Mistake("A shape is of 32 bits", "ShvitClassifier.kt", "toLongArray()", "map(Long::toInt).toIntArray()"),
    Mistake(
        "An interface is not implemented as it is declared",
        "AssetFiles.kt",
        "InputStream = assets.open(place(file))",
        "InputStream? = assets.open(place(file))",
    ),
    Mistake(
        "Something deprecated is used",
        "AndroidPhone.kt",
        "power?.isPowerSaveMode",
        "power?.let { it.isScreenOn && it.isPowerSaveMode }",
    ),
    Mistake(
        "Two numbers are exchanged",
        "ShvitClassifier.kt",
        "Module.LOAD_MODE_MMAP, threads)",
        "threads, Module.LOAD_MODE_MMAP)",
    ),
)
