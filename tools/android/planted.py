"""Plants mistakes in copies of the Android project to test the checks."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from compiling import CompiledModules, CompileFailed, compile_app, compile_module
from gradle_files import BadGradle, check_gradle
from members import find_misused_members
from resources import BadResources, check_classes, check_permissions, link_resources
from toolchain import Toolchain

LIBRARY = "shvit/src/main/kotlin/dev/shvit"
APP = "app/src/main/kotlin/dev/shvit/demo"
RESOURCES = "app/src/main/res"


@dataclass(frozen=True)
class Mistake:
    """A mistake to plant.

    Attributes:
        what: A description.
        file: The file in the project.
        right: The correct text, which occurs once.
        wrong: The text that replaces it.
    """

    what: str
    file: str
    right: str
    wrong: str

    def plant(self, project: Path) -> None:
        """Plant the mistake in a project.

        Raises:
            ValueError: If the project does not contain the correct text once.
        """
        path = project / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.right) != 1:
            raise ValueError(f"{self.file} does not contain '{self.right}' once.")
        path.write_text(text.replace(self.right, self.wrong), encoding="utf-8")


def check_planted_mistakes(tools: Toolchain, modules: CompiledModules, project: Path) -> bool:
    """Plant each mistake in a copy of the project and print the check that finds it.

    Returns:
        Whether at most one mistake stays undetected.
    """
    caught = 0
    for mistake in MISTAKES:
        with tempfile.TemporaryDirectory(prefix="shvit-planted-") as temporary:
            copy = Path(temporary) / "project"
            # The embedded models are large, and no mistake is in them.
            shutil.copytree(project, copy, ignore=shutil.ignore_patterns("assets", "build", "shvit-core"))
            shutil.copytree(project / "shvit-core", copy / "shvit-core", ignore=shutil.ignore_patterns("src", "build"))
            mistake.plant(copy)
            finding = find_noticing_check(mistake, tools, modules, copy)
        print(f"{mistake.what}: {finding or 'not detected'}", flush=True)
        caught += finding is not None
    print(f"{caught} of {len(MISTAKES)} planted mistakes are detected.")
    return caught >= len(MISTAKES) - 1


def find_noticing_check(mistake: Mistake, tools: Toolchain, modules: CompiledModules, project: Path) -> str | None:
    """Return the finding of the check that detects a mistake in a copy of the project; None if none does."""
    try:
        if mistake.file.startswith(LIBRARY):
            for name, api in modules.apis.items():
                library = compile_module(tools, project / "shvit", project / name, [*modules.known, api], quiet=True)
            classes = (library,)
        elif mistake.file.startswith(APP):
            known = list(modules.app_path)
            classes = (compile_app(tools, project / "app", project / "newest", known, quiet=True).classes,)
        elif mistake.file.startswith("app/src"):
            resources = link_resources(project / "app", project / "resources")
            check_classes(resources, modules.app.classes)
            check_permissions(resources, modules.app.classes)
            return None
        else:
            check_gradle(tools, project, project / "scripts", quiet=True)
            return None
    except CompileFailed as reason:
        return f"the compiler: {reason}"
    except (BadResources, BadGradle) as reason:
        return f"{reason.what} {reason.why.splitlines()[0]}"
    return next(iter(find_misused_members(tools, classes, project)), None)


MISTAKES = (
    Mistake(
        "The API level of a newer member is not checked",
        f"{LIBRARY}/AndroidPhone.kt",
        "        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) return null\n",
        "",
    ),
    Mistake(
        "The check of the API level is inverted",
        f"{LIBRARY}/AndroidPhone.kt",
        "if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return null",
        "if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) return null",
    ),
    Mistake("A member is misspelled", f"{LIBRARY}/AndroidPhone.kt", "isPowerSaveMode", "isPowerSavingMode"),
    Mistake("A float is used as a double", f"{LIBRARY}/AndroidPhone.kt", ".toDouble().takeIf(Double::isFinite)", ""),
    Mistake(
        "A method that only the newest ExecuTorch has is called",
        f"{LIBRARY}/ShvitClassifier.kt",
        "        module.destroy()\n        place",
        "        module.close()\n        place",
    ),
    Mistake(
        "A result that only older ExecuTorch versions return is used",
        f"{LIBRARY}/ShvitClassifier.kt",
        "status(module.loadMethod(METHOD))",
        "module.loadMethod(METHOD)",
    ),
    Mistake(
        "A shape has 32-bit numbers", f"{LIBRARY}/ShvitClassifier.kt", "toLongArray()", "map(Long::toInt).toIntArray()"
    ),
    Mistake(
        "A method does not match its interface",
        f"{LIBRARY}/AssetFiles.kt",
        "InputStream = assets.open(place(file))",
        "InputStream? = assets.open(place(file))",
    ),
    Mistake(
        "A deprecated member is used",
        f"{LIBRARY}/AndroidPhone.kt",
        "power?.isPowerSaveMode",
        "power?.let { it.isScreenOn && it.isPowerSaveMode }",
    ),
    Mistake(
        "Two numbers are swapped",
        f"{LIBRARY}/ShvitClassifier.kt",
        "Module.LOAD_MODE_MMAP, threads)",
        "threads, Module.LOAD_MODE_MMAP)",
    ),
    Mistake(
        "A missing text is named",
        f"{APP}/PhotoActivity.kt",
        "setText(R.string.no_picker)",
        "setText(R.string.no_pickers)",
    ),
    Mistake(
        "The app calls a method of a newer Android",
        f"{APP}/LiveActivity.kt",
        "        super.onPause()\n",
        "        super.onPause()\n        getSystemService(android.os.PowerManager::class.java).currentThermalStatus\n",
    ),
    Mistake(
        "A layout names a missing text",
        f"{RESOURCES}/layout/live.xml",
        "@string/waiting_for_camera",
        "@string/waiting_for_cameras",
    ),
    Mistake(
        "An attribute is misspelled",
        f"{RESOURCES}/layout/photo.xml",
        "android:adjustViewBounds",
        "android:adjustViewBound",
    ),
    Mistake(
        "The manifest lacks a permission that the code requests",
        "app/src/main/AndroidManifest.xml",
        '    <uses-permission android:name="android.permission.CAMERA" />\n',
        "",
    ),
    Mistake(
        "The manifest names a missing activity",
        "app/src/main/AndroidManifest.xml",
        'android:name=".PhotoActivity"',
        'android:name=".PhotosActivity"',
    ),
    Mistake(
        "An undefined alias of the catalog is used",
        "app/build.gradle.kts",
        "libs.androidx.test.runner",
        "libs.androidx.test.runners",
    ),
    Mistake(
        "The catalog defines an unused alias",
        "app/build.gradle.kts",
        "    androidTestImplementation(libs.androidx.test.junit)\n",
        "",
    ),
    Mistake(
        "A property of the Android plugin has its Groovy name",
        "app/build.gradle.kts",
        "isMinifyEnabled",
        "minifyEnabled",
    ),
    Mistake(
        "The wrapper's Gradle is too old for the Android plugin",
        "gradle/wrapper/gradle-wrapper.properties",
        "gradle-9.6.1-bin",
        "gradle-9.4.1-bin",
    ),
)
