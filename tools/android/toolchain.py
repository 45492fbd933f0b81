"""Runs Kotlin's and Java's compilers and Java for the checks of the Android code."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

HERE = Path(__file__).parent
# Bytecode for Android 8; every warning is an error.
FLAGS = ("-Werror", "-progressive", "-jvm-target", "1.8", "-no-stdlib", "-no-reflect")
# The compiler keeps what it has read of libraries.
SERVER = (
    "-XX:TieredStopAtLevel=1",
    "-Xmx1500m",
    "-XX:ReservedCodeCacheSize=256m",
    "-XX:+UseSerialGC",
    "-Dkotlin.environment.keepalive=true",
    "-Djava.awt.headless=true",
)
# The JVM's class library of Java 8. Android's modules use the framework's instead.
JVM = ("-Xjdk-release=8",)


@dataclass(frozen=True)
class Toolchain:
    """The tools that compile and test.

    Attributes:
        java_home: The home of a full JDK, whose record of older class libraries the compiler reads.
        native: Folders of shared libraries that the JDK needs and the machine lacks; usually empty.
        kotlin: The folder of the compiler's jars.
        jars: The jars of JUnit, JaCoCo and their dependencies.
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
        """Run Java and return its exit status; its output is passed on."""
        return self._run("java", *arguments)

    def run_java(self, *arguments: str | Path) -> str:
        """Run Java and return its output.

        Raises:
            CalledProcessError: If it fails.
        """
        command = [self.java_home / "bin/java", *arguments]
        return subprocess.run(
            command, env=self._environment(), check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        ).stdout

    def keytool(self, *arguments: str | Path) -> None:
        """Run keytool.

        Raises:
            CalledProcessError: If it fails.
        """
        subprocess.run(
            [self.java_home / "bin/keytool", *arguments], env=self._environment(), check=True, stderr=subprocess.DEVNULL
        )

    def _run(self, program: str, *arguments: str | Path, quiet: bool = False) -> int:
        command = [self.java_home / "bin" / program, *arguments]
        output = subprocess.DEVNULL if quiet else None
        return subprocess.run(command, env=self._environment(), check=False, stdout=output, stderr=output).returncode

    def _environment(self) -> dict[str, str] | None:
        libraries = [*map(str, self.native), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else None

    def kotlinc(
        self, sources: Sequence[Path], into: Path, classpath: Sequence[Path], *options: str, quiet: bool = False
    ) -> int:
        """Compile sources against the JVM's class library into a folder and return the exit status.

        `quiet` hides the compiler's output.
        """
        home = ("-jdk-home", str(self.java_home))
        return self._kotlinc(sources, into, classpath, *JVM, *home, *options, quiet=quiet)

    def kotlinc_android(
        self, sources: Sequence[Path], into: Path, classpath: Sequence[Path], *options: str, quiet: bool = False
    ) -> int:
        """Compile like `kotlinc`, with only the class path as class library."""
        return self._kotlinc(sources, into, classpath, "-no-jdk", *options, quiet=quiet)

    def _kotlinc(
        self, sources: Sequence[Path], into: Path, classpath: Sequence[Path], *options: str, quiet: bool = False
    ) -> int:
        places = ("-kotlin-home", self.kotlin.parent, "-cp", join_paths(classpath), "-d", into)
        command = "compile-quietly" if quiet else "compile"
        return int(self._server.ask(command, *places, *FLAGS, *options, *sources))

    def run_anew(
        self, libraries: Sequence[Path], classpath: Sequence[Path], program: str, *arguments: str | Path
    ) -> str:
        """Run a class with a static method `run` in the virtual machine that compiles, and return what it returns.

        All classes but those of the libraries are loaded anew.
        """
        return self._server.ask("run", join_paths(libraries), join_paths(classpath), program, *arguments)

    @cached_property
    def _server(self) -> Server:
        classpath = self.kotlin / "kotlin-compiler.jar"
        command = [self.java_home / "bin/java", *SERVER, "-cp", classpath, HERE / "Server.java"]
        return Server(command, self._environment())

    def javac(self, sources: Sequence[Path], into: Path, classpath: Sequence[Path]) -> int:
        """Compile Java sources into a folder and return the exit status."""
        options = ("--release", "8", "-Xlint:all,-options", "-Werror", "-proc:none")
        return self._run("javac", *options, "-cp", join_paths(classpath), "-d", into, *sources)

    def library(self, name: str) -> Path:
        """Return the jar of a library that comes with the compiler."""
        return self.kotlin / f"{name}.jar"


class Server:
    """A virtual machine that compiles and runs Kotlin: see `Server.java`. It ends with this process."""

    def __init__(self, command: Sequence[str | Path], environment: dict[str, str] | None) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, encoding="utf-8")

    def ask(self, *words: str | Path) -> str:
        """Send a command and return the answer.

        Raises:
            CalledProcessError: If the virtual machine ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\t".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise subprocess.CalledProcessError(self._process.wait(), self._process.args)
        return answer.rstrip("\n")


def join_paths(entries: Sequence[Path]) -> str:
    return os.pathsep.join(map(str, entries))
