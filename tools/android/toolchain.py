"""Kotlin's and Java's compilers and a Java machine, as the checks of the Android code start them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# The bytecode that a phone of Android 8 takes; every warning is an error.
FLAGS = ("-Werror", "-progressive", "-jvm-target", "1.8", "-no-stdlib", "-no-reflect")
# In seconds of work the Java machine's best compiler costs more than it brings: with it a module takes 1.8 times as
# long.
SHORT_RUN = ("-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
# The JVM's class library of that age; Android's modules have the framework's instead.
JVM = ("-Xjdk-release=8",)


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

    @property
    def asm(self) -> list[Path]:
        """The jars that read and write bytecode."""
        return [jar for jar in self.jars if jar.stem in ("asm", "asm-tree")]

    def java(self, *arguments: str | Path) -> int:
        """Runs Java and returns its exit status; what it says goes where this program's words go."""
        return self._run("java", *arguments)

    def told(self, *arguments: str | Path) -> str:
        """What a Java program prints; raises `CalledProcessError` where it fails."""
        command = [self.java_home / "bin/java", *arguments]
        return subprocess.run(command, env=self._environment(), check=True, stdout=subprocess.PIPE, text=True).stdout

    def keytool(self, *arguments: str | Path) -> None:
        """Works on a store of keys; raises `CalledProcessError` where it fails."""
        subprocess.run(
            [self.java_home / "bin/keytool", *arguments], env=self._environment(), check=True, stderr=subprocess.DEVNULL
        )

    def _run(self, program: str, *arguments: str | Path, quiet: bool = False) -> int:
        command = [self.java_home / "bin" / program, *arguments]
        words = subprocess.DEVNULL if quiet else None
        return subprocess.run(command, env=self._environment(), check=False, stdout=words, stderr=words).returncode

    def _environment(self) -> dict[str, str] | None:
        libraries = [*map(str, self.native), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else None

    def kotlinc(
        self, sources: Sequence[Path], into: Path, classpath: Sequence[Path], *options: str, quiet: bool = False
    ) -> int:
        """Compiles sources against the JVM's class library into a folder of classes and returns the exit status.

        `quiet` drops the compiler's words.
        """
        home = ("-jdk-home", str(self.java_home))
        return self._kotlinc(sources, into, classpath, *JVM, *home, *options, quiet=quiet)

    def kotlinc_android(
        self, sources: Sequence[Path], into: Path, classpath: Sequence[Path], *options: str, quiet: bool = False
    ) -> int:
        """As `kotlinc`, with no class library but what the class path holds."""
        return self._kotlinc(sources, into, classpath, "-no-jdk", *options, quiet=quiet)

    def _kotlinc(
        self, sources: Sequence[Path], into: Path, classpath: Sequence[Path], *options: str, quiet: bool = False
    ) -> int:
        starter = (*SHORT_RUN, "-cp", self.kotlin / "kotlin-preloader.jar", "org.jetbrains.kotlin.preloading.Preloader")
        compiler = ("-cp", self.kotlin / "kotlin-compiler.jar", "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler")
        places = ("-kotlin-home", self.kotlin.parent, "-cp", join_paths(classpath), "-d", into)
        return self._run("java", *starter, *compiler, *places, *FLAGS, *options, *sources, quiet=quiet)

    def javac(self, sources: Sequence[Path], into: Path, classpath: Sequence[Path]) -> int:
        """Compiles Java sources into a folder of classes and returns the exit status."""
        options = ("--release", "8", "-Xlint:all,-options", "-Werror", "-proc:none")
        return self._run("javac", *options, "-cp", join_paths(classpath), "-d", into, *sources)

    def library(self, name: str) -> Path:
        """A library that comes with the compiler."""
        return self.kotlin / f"{name}.jar"


def join_paths(entries: Sequence[Path]) -> str:
    return os.pathsep.join(map(str, entries))
