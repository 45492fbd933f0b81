package dev.shvit.demo

import android.content.Context
import dev.shvit.Analysis
import dev.shvit.core.ShvitException
import dev.shvit.core.models.Finding
import dev.shvit.core.screen.NumberFormatter
import java.util.Locale

/** Formats numbers in the phone's language. */
internal val formatter: NumberFormatter get() = NumberFormatter(Locale.getDefault())

/** Returns an error's text: what is wrong, why, and what to do next. */
internal fun Context.words(reason: Throwable): String =
    if (reason.isExplained) reason.message.orEmpty() else getString(R.string.unexpected, reason)

/** Whether an error says what a person can do. */
internal val Throwable.isExplained: Boolean get() = this is ShvitException || this is ReportNotSaved

/** The lines of a finding: as many as the most likely classes. All boxes are on the picture. */
private const val MOST_LINES = 5

/** Returns a label with its probability or score. */
internal fun Context.formatScore(label: String, score: Double): String =
    getString(R.string.prediction, formatter.percent(score), label)

/** Returns the most likely classes, or the best objects, one per line. */
internal fun Context.formatFinding(finding: Finding): String = when (finding) {
    is Finding.Classes -> finding.predictions.joinToString("\n") { formatScore(it.label, it.probability) }
    is Finding.Objects -> {
        val best = finding.objects.take(MOST_LINES).map { formatScore(it.label, it.box.score.toDouble()) }
        val others = finding.objects.size - best.size
        val more = if (others > 0) listOf(getString(R.string.more_objects, others)) else emptyList()
        (best + more).ifEmpty { listOf(getString(R.string.no_objects)) }.joinToString("\n")
    }
    Finding.Maps -> ""
}

/**
 * Formats the latencies of an analysis, in milliseconds.
 *
 * @param inferenceMs The model's latency to show, such as a median.
 */
internal fun Context.latency(analysis: Analysis, inferenceMs: Double): String {
    val (before, model) = formatter.milliseconds(analysis.preprocessingMs) to formatter.milliseconds(inferenceMs)
    if (analysis.finding !is Finding.Objects) return getString(R.string.latency, before, model)
    return getString(R.string.latency_boxes, before, model, formatter.milliseconds(analysis.decodingMs))
}
