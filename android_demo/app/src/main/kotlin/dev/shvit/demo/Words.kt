package dev.shvit.demo

import android.content.Context
import dev.shvit.core.ShvitException
import dev.shvit.core.models.Prediction
import dev.shvit.core.screen.Figures
import java.util.Locale

/** The figures of the language that the phone speaks. */
internal val figures: Figures get() = Figures(Locale.getDefault())

/** What is wrong, why, and what to do next. */
internal fun Context.words(reason: Throwable): String =
    if (reason is ShvitException) reason.message.orEmpty() else getString(R.string.unexpected, reason)

/** The likeliest classes, one a line. */
internal fun Context.listed(best: List<Prediction>): String = best.joinToString("\n") {
    getString(R.string.prediction, figures.percent(it.probability), it.label)
}

/** How long preprocessing and the model took, in milliseconds. */
internal fun Context.latency(preprocessingMs: Double, inferenceMs: Double): String =
    getString(R.string.latency, figures.milliseconds(preprocessingMs), figures.milliseconds(inferenceMs))
