package dev.shvit.core.measure

import dev.shvit.core.ShvitException.InvalidSettings
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class HistogramTest {
    /** `numpy.histogram([1, 2, 2.5, 3, 5], 4)` gives [1, 2, 1, 1] and edges 1, 2, 3, 4, 5. */
    @Test
    fun `counts are NumPy's`() {
        assertEquals(Histogram(1.0, 1.0, listOf(1, 2, 1, 1)), Histogram.of(listOf(5.0, 1.0, 2.0, 2.5, 3.0), 4))
    }

    /** `numpy.histogram([4, 4], 5)` gives [0, 0, 2, 0, 0] and edges from 3.5 to 4.5. */
    @Test
    fun `equal samples are in the middle`() {
        assertEquals(Histogram(3.5, 0.2, listOf(0, 0, 2, 0, 0)), Histogram.of(listOf(4.0, 4.0), 5))
    }

    @Test
    fun `invalid samples and bins are rejected`() {
        assertFailsWith<InvalidSettings> { Histogram.of(emptyList(), 4) }
        assertFailsWith<InvalidSettings> { Histogram.of(listOf(1.0), 0) }
        assertFailsWith<InvalidSettings> { Histogram.of(listOf(1.0, Double.NaN), 4) }
    }
}
