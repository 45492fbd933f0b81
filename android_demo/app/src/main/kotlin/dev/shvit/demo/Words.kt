package dev.shvit.demo

import android.content.Context
import dev.shvit.core.ShvitException
import dev.shvit.core.models.Prediction
import dev.shvit.core.screen.NumberFormatter
import java.util.Locale

/** Formats numbers in the phone's language. */
internal val formatter: NumberFormatter get() = NumberFormatter(Locale.getDefault())

/** Returns an error's text: what is wrong, why, and what to do next. */
internal fun Context.words(reason: Throwable): String =
    if (reason.isExplained) reason.message.orEmpty() else getString(R.string.unexpected, reason)

/** Whether an error says what a person can do. */
internal val Throwable.isExplained: Boolean get() = this is ShvitException || this is ReportNotSaved

/** Returns the most likely classes, one per line. */
internal fun Context.formatPredictions(best: List<Prediction>): String = best.joinToString("\n") {
    getString(R.string.prediction, formatter.percent(it.probability), it.label)
}

/** Formats the latencies of preprocessing and model, in milliseconds. */
internal fun Context.latency(preprocessingMs: Double, inferenceMs: Double): String =
    getString(R.string.latency, formatter.milliseconds(preprocessingMs), formatter.milliseconds(inferenceMs))
