package dev.shvit.core.measure

import dev.shvit.core.documents.DeviceReport
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

class RunLogTest {
    private fun lines(runId: String?, log: RunLog.() -> Unit): List<String> =
        ArrayList<String>().also { RunLog(runId, it::add).log() }

    @Test
    fun `every line names the run and is a single line`() {
        val lines = lines("r-1") {
            progress(Progress("shvit.pte", 0.405))
            progress(Progress("", 1.0))
            error("What.\n  Why.\n\nHint.")
            report("/sdcard/r-1.json")
            noReport()
        }
        assertEquals(
            listOf("40 % shvit.pte", "100 %", "error: What. Why. Hint.", "report: /sdcard/r-1.json", "no report")
                .map { "[r-1] $it" },
            lines,
        )
    }

    @Test
    fun `a run without an identity has plain lines`() {
        assertEquals(listOf("report: /sdcard/a.json"), lines(null) { report("/sdcard/a.json") })
    }

    @Test
    fun `the report contains the identity of the run, and reads it again`() {
        val phone = SimulatedPhone()
        val quick = Protocol(Turn.Iterations(0), Turn.Iterations(1), rounds = 1)
        fun report(runId: String?) = Profiler(quick, phone, phone)
            .report(reportContext.copy(runId = runId), listOf(contestant(phone, "a", 1.0)))
        assertEquals("r-1", DeviceReport.read(report("r-1").text(), "r-1.json").runId)
        assertNull(report(null).runId)
        assertTrue("run_id" !in report(null).text())
    }
}
