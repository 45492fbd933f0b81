package dev.shvit.core.measure

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.InvalidSettings
import kotlin.math.abs
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class LatencyTest {
    @Test
    fun `percentiles are NumPy's`() {
        val cases = Shared.fields(Shared.vectors.resolve("percentiles.json")).children("cases") { case ->
            case.numbers("samples") to case.children("percentiles") { it.number("share") to it.number("expected") }
        }
        assertEquals(66, cases.sumOf { it.second.size })
        for ((samples, percentiles) in cases) {
            for ((share, expected) in percentiles) {
                assertEquals(expected, percentile(samples, share), 1e-9 * abs(expected), "$share of $samples")
            }
        }
    }

    @Test
    fun `a summary contains the named percentiles`() {
        val summary = Latency.of((1..101).map(Int::toDouble).shuffled(java.util.Random(1)))
        assertEquals(Latency(samples = 101, p50 = 51.0, p90 = 91.0, p95 = 96.0, p99 = 100.0, least = 1.0), summary)
    }

    @Test
    fun `no samples or a share out of range are rejected`() {
        assertFailsWith<InvalidSettings> { percentile(emptyList(), 50.0) }
        assertFailsWith<InvalidSettings> { percentile(listOf(1.0), 100.5) }
        assertFailsWith<InvalidSettings> { Latency.of(emptyList()) }
    }
}
