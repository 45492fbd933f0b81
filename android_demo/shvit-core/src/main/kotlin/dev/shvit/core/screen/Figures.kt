package dev.shvit.core.screen

import java.util.Locale

/** Writes figures for people, in the digits and signs of their language. */
class Figures(private val locale: Locale) {
    /** "3.42 ms": three digits that count, and no more than hundredths. */
    fun milliseconds(value: Double): String = "${short(value)} ms"

    /** "24.1 MB", of a million bytes each, as stores and `shvit-mobile` count. */
    fun megabytes(bytes: Long): String = "${short(bytes / 1e6)} MB"

    /** "87.3 %" of a share from 0 to 1. */
    fun percent(share: Double): String = "${"%.1f".format(locale, 100 * share)} %"

    /** "41.2 dB"; equal logits have an infinite ratio. */
    fun decibels(value: Double): String = "${if (value.isInfinite() && value > 0) "∞" else short(value)} dB"

    /** Any other figure, such as a difference of logits: "0.00312". */
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
