package dev.shvit.core.screen

import java.util.Locale

/** Formats numbers for people in their language. */
class NumberFormatter(private val locale: Locale) {
    /** Formats milliseconds with three significant digits and at most hundredths: "3.42 ms". */
    fun milliseconds(value: Double): String = "${short(value)} ms"

    /** Formats milliseconds, or a dash if there are none. */
    fun millisecondsOrDash(value: Double?): String = value?.let(::milliseconds) ?: "–"

    /** Formats bytes in millions, as app stores and `shvit-mobile` do: "24.1 MB". */
    fun megabytes(bytes: Long): String = "${short(bytes / 1e6)} MB"

    /** Formats a share from 0 to 1: "87.3 %". */
    fun percent(share: Double): String = "${"%.1f".format(locale, 100 * share)} %"

    /** Formats decibels: "41.2 dB"; infinite for equal logits. */
    fun decibels(value: Double): String = "${if (value.isInfinite() && value > 0) "∞" else short(value)} dB"

    /** Formats any other number, such as a difference of logits: "0.00312". */
    fun plain(value: Double): String = "%.3g".format(locale, value)

    private fun short(value: Double): String {
        val digits = when {
            value >= 100 -> 0
            value >= 10 -> 1
            else -> 2
        }
        return "%.${digits}f".format(locale, value)
    }
}
