package dev.shvit.core.measure

import kotlin.test.Test
import kotlin.test.assertEquals

class RecentLatencyTest {
    @Test
    fun `the median is that of the latest samples`() {
        val recent = RecentLatency(kept = 3)
        assertEquals(listOf(9.0, 5.0, 9.0, 2.0, 3.0), listOf(9.0, 1.0, 20.0, 2.0, 3.0).map(recent::add))
    }
}
