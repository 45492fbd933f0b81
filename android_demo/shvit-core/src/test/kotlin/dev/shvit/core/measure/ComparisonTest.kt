package dev.shvit.core.measure

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.documents.Ratio
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class ComparisonTest {
    @Test
    fun `ratios equal Python's`() {
        val cases = Shared.fields(Shared.vectors.resolve("ratios.json")).children("cases") { case ->
            Triple(case.numbers("first"), case.numbers("other"), case.child("ratio", Ratio::of))
        }
        assertEquals(6, cases.size)
        for ((first, other, expected) in cases) {
            val found = ratio(first, other)
            assertEquals(expected.value, found.value, 1e-9 * expected.value, "$first")
            assertEquals(expected.low, found.low, 1e-9 * expected.low, "$first")
            // Infinity equals only itself.
            val near = if (expected.high.isFinite()) 1e-9 * expected.high else 0.0
            assertEquals(expected.high, found.high, near, "$first")
        }
    }

    @Test
    fun `different numbers of rounds are rejected`() {
        assertFailsWith<InvalidSettings> { ratio(emptyList(), emptyList()) }
        assertFailsWith<InvalidSettings> { ratio(listOf(1.0), listOf(1.0, 2.0)) }
    }
}
