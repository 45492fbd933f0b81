package dev.shvit.core.screen

import dev.shvit.core.screen.HistogramPicture.Bar
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class HistogramPictureTest {
    @Test
    fun `bars start at the bottom, and the fullest reaches the top`() {
        val samples = List(200) { 1.0 } + List(100) { 1.5 } + List(600) { 5.0 }
        val picture = HistogramPicture.of(samples, width = 400.0, height = 80.0, bins = 4)
        val expected = listOf(Bar(5.0, 40.0, 95.0, 80.0), Bar(305.0, 0.0, 395.0, 80.0))
        assertEquals(expected, picture.bars)
        assertEquals(1.0 to 5.0, picture.least to picture.most)
    }

    @Test
    fun `percentile marks are at their latency`() {
        val samples = List(1001) { 10.0 + it / 100.0 }
        val picture = HistogramPicture.of(samples, width = 995.0, height = 50.0)
        assertEquals(listOf(50, 90, 99), picture.marks.map { it.share })
        assertEquals(listOf(50, 90), HistogramPicture.of(samples.take(999), 995.0, 50.0).marks.map { it.share })
        assertEquals(listOf(50), HistogramPicture.of(samples.take(99), 995.0, 50.0).marks.map { it.share })
        val places = picture.marks.map { it.milliseconds to it.x }
        listOf(15.0 to 500.0, 19.0 to 900.0, 19.9 to 990.0).zip(places).forEach { (expected, actual) ->
            assertEquals(expected.first, actual.first, 1e-9)
            assertEquals(expected.second, actual.second, 1e-6)
        }
    }

    @Test
    fun `a single outlier does not squeeze the other bars`() {
        val picture = HistogramPicture.of(List(999) { 4.0 + it % 10 / 10.0 } + 900.0, width = 100.0, height = 100.0)
        assertTrue(picture.most < 5.0, "${picture.most}")
        assertTrue(picture.bars.size >= 10, "${picture.bars.size} bars")
    }

    @Test
    fun `equal samples are one bar in the middle`() {
        val picture = HistogramPicture.of(listOf(4.0, 4.0), width = 50.0, height = 10.0, bins = 5)
        assertEquals(20.5, picture.bars.single().left, 1e-9)
        assertTrue(picture.marks.all { it.x == 25.0 }, "${picture.marks}")
    }
}
