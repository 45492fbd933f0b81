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
