package dev.shvit.core.images

import kotlin.test.Test
import kotlin.test.assertEquals

class HalvingTest {
    @Test
    fun `a picture is halved until it fits`() {
        assertEquals(1, sampleSize(4096, 4096, pixels = 1L shl 24))
        assertEquals(2, sampleSize(4098, 4096, pixels = 1L shl 24))
        assertEquals(4, sampleSize(16_320, 12_240, pixels = 1L shl 24))
        assertEquals(1, sampleSize(-1, -1, pixels = 100))
        assertEquals(16, sampleSize(60_000, 60_000, pixels = 1L shl 24))
    }
}
