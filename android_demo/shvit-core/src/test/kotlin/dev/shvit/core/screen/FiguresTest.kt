package dev.shvit.core.screen

import java.util.Locale
import kotlin.test.Test
import kotlin.test.assertEquals

class FiguresTest {
    private val figures = Figures(Locale.UK)

    @Test
    fun `as many digits as count`() {
        assertEquals(
            listOf("0.46 ms", "3.42 ms", "41.2 ms", "1234 ms"),
            listOf(0.456, 3.416, 41.23, 1234.4).map(figures::milliseconds),
        )
        assertEquals("24.1 MB", figures.megabytes(24_079_656))
        assertEquals("87.3 %", figures.percent(0.8734))
        assertEquals("0.00312", figures.plain(0.003119))
    }

    @Test
    fun `equal logits have an infinite ratio, and those that are no numbers the lowest`() {
        assertEquals("41.2 dB", figures.decibels(41.23))
        assertEquals("∞ dB", figures.decibels(Double.POSITIVE_INFINITY))
        assertEquals("-Infinity dB", figures.decibels(Double.NEGATIVE_INFINITY))
    }

    @Test
    fun `the language writes the point`() {
        assertEquals("3,42 ms", Figures(Locale.GERMANY).milliseconds(3.416))
    }
}
