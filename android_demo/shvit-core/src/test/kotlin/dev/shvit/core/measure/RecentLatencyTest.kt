package dev.shvit.core.measure

import kotlin.test.Test
import kotlin.test.assertEquals

class RecentLatencyTest {
    @Test
    fun `the median covers the last samples`() {
        val recent = RecentLatency(kept = 3)
        assertEquals(listOf(9.0, 5.0, 9.0, 20.0, 30.0), listOf(9.0, 1.0, 20.0, 30.0, 40.0).map(recent::add))
    }
}
