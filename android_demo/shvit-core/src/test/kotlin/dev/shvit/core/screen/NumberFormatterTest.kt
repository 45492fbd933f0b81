package dev.shvit.core.screen

import java.util.Locale
import kotlin.test.Test
import kotlin.test.assertEquals

class FiguresTest {
    private val formatter = NumberFormatter(Locale.UK)

    @Test
    fun `numbers have three significant digits`() {
        assertEquals(
            listOf("0.46 ms", "3.42 ms", "41.2 ms", "1234 ms"),
            listOf(0.456, 3.416, 41.23, 1234.4).map(formatter::milliseconds),
        )
        assertEquals(listOf("3.42 ms", "–"), listOf(3.416, null).map(formatter::millisecondsOrDash))
        assertEquals("24.1 MB", formatter.megabytes(24_079_656))
        assertEquals("87.3 %", formatter.percent(0.8734))
        assertEquals("0.00312", formatter.plain(0.003119))
    }

    @Test
    fun `infinite decibels are formatted`() {
        assertEquals("41.2 dB", formatter.decibels(41.23))
        assertEquals("∞ dB", formatter.decibels(Double.POSITIVE_INFINITY))
        assertEquals("-Infinity dB", formatter.decibels(Double.NEGATIVE_INFINITY))
    }

    @Test
    fun `the language sets the decimal separator`() {
        assertEquals("3,42 ms", NumberFormatter(Locale.GERMANY).milliseconds(3.416))
    }
}
