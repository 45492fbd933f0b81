package dev.shvit.core.models

import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Target

/**
 * Rejects a model that this version of ExecuTorch may not run.
 *
 * @param runtime The version that the app links; a part after a plus is ignored.
 * @throws UnsupportedDocument If it is not an ExecuTorch program, or another version wrote it.
 */
fun Manifest.checkExecuTorch(runtime: String) {
    if (target != Target.EXECUTORCH) {
        throw UnsupportedDocument(
            "${artifact.name} is for ${target.word}.",
            "This library runs ExecuTorch programs.",
            "Export one: shvit-mobile export --target executorch",
        )
    }
    val wrote = versions["executorch"] ?: "unknown"
    if (wrote.substringBefore('+') != runtime.substringBefore('+')) {
        throw UnsupportedDocument(
            "${artifact.name} was written by ExecuTorch $wrote, and this app runs $runtime.",
            "A program is only guaranteed to run with the version that wrote it.",
            "Export it again with executorch==$runtime",
        )
    }
}

/**
 * Returns the runtime's name for reports: "ExecuTorch 1.4.1 (XNNPACK)".
 *
 * @param runtime The version that the app links.
 */
fun Manifest.engineName(runtime: String): String = "ExecuTorch $runtime${delegation?.let { " (${it.name})" }.orEmpty()}"

/**
 * Returns the versions for a report: of the exporter (shvit-mobile), the runtime and the system.
 *
 * @param measured The models; if several versions exported them, all are listed.
 */
fun collectVersions(measured: List<Manifest>, runtime: String, system: String): Map<String, String> {
    val exporters = measured.mapNotNull { it.versions[EXPORTER] }.distinct().sorted().joinToString()
    val known = mapOf("executorch" to runtime, "android" to system)
    return if (exporters.isEmpty()) known else mapOf(EXPORTER to exporters) + known
}

private const val EXPORTER = "shvit-mobile"
