"""Kotlin's compiler and a Java machine, as the checks of the Android core start them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# The oldest class library and bytecode that a phone of Android 8 takes; every warning is an error.
FLAGS = ("-Werror", "-progressive", "-jvm-target", "1.8", "-Xjdk-release=8", "-no-stdlib", "-no-reflect")


@dataclass(frozen=True)
class Toolchain:
    """What compiles and tests.

    Attributes:
        java_home: of a whole JDK: the compiler reads its record of older class libraries.
        native: folders of shared libraries that the JDK needs and the machine lacks; mostly empty.
        kotlin: the compiler's jars.
        jars: JUnit's, JaCoCo's and those that they need.
    """

    java_home: Path
    native: tuple[Path, ...]
    kotlin: Path
    jars: tuple[Path, ...]

    def java(self, *arguments: str | Path) -> int:
        """Runs Java and returns its exit status; what it says goes where this program's words go."""
        libraries = [*map(str, self.native), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else None
        return subprocess.run([self.java_home / "bin/java", *arguments], env=environment, check=False).returncode

    def kotlinc(self, sources: Sequence[Path], into: Path, classpath: Sequence[Path], *options: str) -> int:
        """Compiles sources into a folder of classes and returns the compiler's exit status."""
        starter = ("-Xmx1g", "-cp", self.kotlin / "kotlin-preloader.jar", "org.jetbrains.kotlin.preloading.Preloader")
        compiler = ("-cp", self.kotlin / "kotlin-compiler.jar", "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler")
        homes = ("-kotlin-home", self.kotlin.parent, "-jdk-home", self.java_home)
        return self.java(*starter, *compiler, *homes, *FLAGS, *options, "-cp", paths(classpath), "-d", into, *sources)

    def library(self, name: str) -> Path:
        """A library that comes with the compiler."""
        return self.kotlin / f"{name}.jar"


def paths(entries: Sequence[Path]) -> str:
    return os.pathsep.join(map(str, entries))
