package dev.shvit.core.models

import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Target
import java.io.File

/** A runtime that an app links: it runs the artifacts of one target. */
interface Engine {
    /** The target whose artifacts it runs. */
    val target: Target

    /** The runtime's name, such as "ExecuTorch". */
    val name: String

    /** The version that the app links. */
    val version: String

    /** The tag of the runtime's lines in Android's log. */
    val logTag: String

    /**
     * Rejects a model of this target that this version may not run.
     *
     * @throws UnsupportedDocument If another version of the runtime has to run it.
     */
    fun check(manifest: Manifest)

    /**
     * Loads an artifact and prepares its first inference. Throws what the runtime throws.
     *
     * @param file The artifact.
     * @param threads The number of threads of an inference; 0 leaves it to the runtime.
     */
    fun load(manifest: Manifest, file: File, threads: Int): Session
}

/** A loaded artifact: write its input, run it, read its outputs. Use it from one thread at a time. */
interface Session : AutoCloseable {
    /** Copies the values of one image into the runtime's own input. */
    fun write(values: FloatArray)

    /** Calls the runtime. */
    fun run()

    /** Returns the outputs of the last run, in the order of [dev.shvit.core.documents.OutputContract.names]. */
    fun read(): List<FloatArray>
}

/**
 * The runtimes that an app links.
 *
 * ```kotlin
 * Engines(ExecuTorch, LiteRT)
 * ```
 */
class Engines(first: Engine, vararg others: Engine) {
    private val engines = listOf(first, *others)

    /** Returns whether one of them runs a model. */
    fun runs(manifest: Manifest): Boolean = engines.any { it.target == manifest.target }

    /**
     * Returns the one that runs a model.
     *
     * @throws UnsupportedDocument If there is none.
     */
    fun of(manifest: Manifest): Engine = engines.firstOrNull { it.target == manifest.target }
        ?: throw UnsupportedDocument(
            "${manifest.artifact.name} is for ${manifest.target.word}.",
            "This app runs models for ${engines.joinToString { it.target.word }}.",
            hint(manifest.target),
        )

    private fun hint(target: Target): String {
        val again = "Export it again: shvit-mobile export --target ${engines.first().target.word}"
        val library = LIBRARIES[target] ?: return again
        return "$again, or link $library and name its engine."
    }

    /**
     * Returns the versions for a report: of the exporter (shvit-mobile), the runtimes that were measured, by their
     * targets, and the system.
     *
     * @param measured The models; if several versions exported them, all are listed.
     */
    fun versions(measured: List<Manifest>, system: String): Map<String, String> {
        val exporters = measured.mapNotNull { it.versions[EXPORTER] }.distinct().sorted().joinToString()
        val runtimes = measured.map { of(it) }.distinct().associate { it.target.word to it.version }
        val known = runtimes + ("android" to system)
        return if (exporters.isEmpty()) known else mapOf(EXPORTER to exporters) + known
    }

    private companion object {
        const val EXPORTER = "shvit-mobile"

        /** This project's libraries with engines. */
        val LIBRARIES = mapOf(Target.EXECUTORCH to "dev.shvit:shvit", Target.LITERT to "dev.shvit:shvit-litert")
    }
}

/** Returns the runtime's name for reports: "ExecuTorch 1.4.1 (XNNPACK)". */
fun Engine.describe(manifest: Manifest): String =
    "$name $version${manifest.delegation?.let { " (${it.name})" }.orEmpty()}"

/**
 * Rejects a program that another version of ExecuTorch wrote.
 *
 * @param runtime The version that the app links; a part after a plus is ignored.
 * @throws UnsupportedDocument If it is another one.
 */
fun Manifest.checkExecuTorch(runtime: String) {
    val wrote = versions["executorch"] ?: "unknown"
    if (wrote.substringBefore('+') != runtime.substringBefore('+')) {
        throw UnsupportedDocument(
            "${artifact.name} was written by ExecuTorch $wrote, and this app runs $runtime.",
            "A program is only guaranteed to run with the version that wrote it.",
            "Export it again with executorch==$runtime",
        )
    }
}
