package dev.shvit.core.models

import dev.shvit.core.BadModel
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Target

/**
 * Refuses a model that this version of ExecuTorch does not run for certain.
 *
 * @param runtime the version that the app links; what stands behind a plus does not count.
 * @throws BadModel it is no ExecuTorch program, or another version wrote it.
 */
fun Manifest.checkExecuTorch(runtime: String) {
    if (target != Target.EXECUTORCH) {
        throw BadModel(
            "${artifact.name} was made for ${target.word}.",
            "On Android ExecuTorch programs run.",
            "Make one: shvit-mobile export --target executorch",
        )
    }
    val wrote = versions["executorch"] ?: "unknown"
    if (wrote.substringBefore('+') != runtime.substringBefore('+')) {
        throw BadModel(
            "${artifact.name} was written by ExecuTorch $wrote, and this app runs $runtime.",
            "A program runs for certain only with the version that wrote it.",
            "Export it again with executorch==$runtime",
        )
    }
}

/**
 * How reports name what runs a model: "ExecuTorch 1.4.1 (XNNPACK)".
 *
 * @param runtime the version that the app links.
 */
fun Manifest.engine(runtime: String): String = "ExecuTorch $runtime${delegation?.let { " (${it.name})" }.orEmpty()}"

/**
 * The versions in a report: shvit-mobile's, which exported what is measured, the runtime's and the system's.
 *
 * @param measured the models; where several versions exported them, all are told.
 */
fun versionsOf(measured: List<Manifest>, runtime: String, system: String): Map<String, String> {
    val exporters = measured.mapNotNull { it.versions[EXPORTER] }.distinct().sorted().joinToString()
    val known = mapOf("executorch" to runtime, "android" to system)
    return if (exporters.isEmpty()) known else mapOf(EXPORTER to exporters) + known
}

private const val EXPORTER = "shvit-mobile"
