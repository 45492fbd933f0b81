package dev.shvit.core.measure

import dev.shvit.core.ShvitException.InvalidSettings
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull

class BenchmarkRequestTest {
    private fun refused(vararg extras: Pair<String, Any?>): InvalidSettings =
        assertFailsWith<InvalidSettings> { BenchmarkRequest.of(mapOf(*extras)) }

    @Test
    fun `opening the app does not request a benchmark`() {
        assertNull(BenchmarkRequest.of(emptyMap()))
        assertNull(BenchmarkRequest.of(mapOf("android.intent.extra.REFERRER_NAME" to "com.android.shell")))
    }

    @Test
    fun `the defaults are all models and the standard protocol`() {
        assertEquals(BenchmarkRequest(), BenchmarkRequest.of(mapOf("benchmark" to "all")))
    }

    @Test
    fun `options are parsed from numbers and texts`() {
        val expected = BenchmarkRequest(
            listOf("a", "b"),
            listOf(4, 1),
            Protocol(Turn.Iterations(3), Turn.Iterations(200), rounds = 5, sustainedSeconds = 60.5),
            "nightly.2",
        )
        val options = mapOf("benchmark" to "a, b", "threads" to "4,1,4", "report" to "nightly.2")
        val numbers = mapOf("iterations" to 200, "warm_up" to 3, "rounds" to 5L, "sustained" to 60.5f)
        val texts = numbers.mapValues { it.value.toString() }
        assertEquals(expected, BenchmarkRequest.of(options + numbers))
        assertEquals(expected, BenchmarkRequest.of(options + texts))
        val seconds = BenchmarkRequest.of(mapOf("benchmark" to "all", "seconds" to 2, "threads" to 2))
        assertEquals(BenchmarkRequest(threads = listOf(2), protocol = Protocol(turn = Turn.Seconds(2.0))), seconds)
        val allowed = mapOf("warm_up_seconds" to "0.1", "allow_low_power" to "true", "allow_heat" to true)
        val protocol = Protocol(warmUp = Turn.Seconds(0.1), allowLowPower = true, allowHeat = true)
        assertEquals(BenchmarkRequest(protocol = protocol), BenchmarkRequest.of(allowed + ("benchmark" to "all")))
    }

    @Test
    fun `an invalid option is named`() {
        val misspelled = refused("benchmark" to "all", "iteratons" to 2)
        assertEquals("'iteratons' is not an option of a benchmark.", misspelled.what)
        assertEquals("iterations is set without benchmark.", refused("iterations" to 200).what)
        assertEquals("iterations is 'many'.", refused("benchmark" to "all", "iterations" to "many").what)
        assertEquals("seconds is 'null'.", refused("benchmark" to "all", "seconds" to null).what)
        assertEquals("threads is 'two'.", refused("benchmark" to "all", "threads" to "1,two").what)
        assertEquals("benchmark is empty.", refused("benchmark" to " , ").what)
        assertEquals("Use one of them.", refused("benchmark" to "all", "iterations" to 2, "seconds" to 2).hint)
        refused("benchmark" to "all", "warm_up" to 2, "warm_up_seconds" to 2)
        assertEquals("allow_heat is 'perhaps'.", refused("benchmark" to "all", "allow_heat" to "perhaps").what)
        refused("benchmark" to "all", "iterations" to 0)
    }

    @Test
    fun `a run with an identity writes the report of that name`() {
        val named = BenchmarkRequest(report = "r-1", runId = "r-1")
        assertEquals(named, BenchmarkRequest.of(mapOf("benchmark" to "all", "run_id" to "r-1")))
        val both = mapOf("benchmark" to "all", "run_id" to "r-1", "report" to "nightly")
        assertEquals(named.copy(report = "nightly"), BenchmarkRequest.of(both))
    }

    @Test
    fun `a report's name cannot leave its folder`() {
        for (name in listOf("../secret", "a/b", ".hidden", "", "a".repeat(65), "a\nb")) {
            refused("benchmark" to "all", "run_id" to name)
            refused("benchmark" to "all", "report" to name)
        }
    }
}
