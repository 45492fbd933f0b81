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
        assertEquals(Latency(samples = 101, p50 = 51.0, p90 = 91.0, least = 1.0, mean = 51.0), summary)
    }

    @Test
    fun `a percentile is stated if at least ten samples are above it`() {
        for ((share, needed) in mapOf(90 to 100, 95 to 200, 99 to 1000)) {
            assertEquals(needed, Latency.neededSamples(share))
            val samples = (1..needed).map(Int::toDouble)
            val (enough, few) = listOf(samples, samples.drop(1)).map { Latency.of(it) }.map {
                mapOf(90 to it.p90, 95 to it.p95, 99 to it.p99)[share]
            }
            assertEquals(10, samples.count { it > checkNotNull(enough) })
            assertEquals(null, few)
        }
    }

    @Test
    fun `no samples or a share out of range are rejected`() {
        assertFailsWith<InvalidSettings> { percentile(emptyList(), 50.0) }
        assertFailsWith<InvalidSettings> { percentile(listOf(1.0), 100.5) }
        assertFailsWith<InvalidSettings> { Latency.of(emptyList()) }
    }
}
