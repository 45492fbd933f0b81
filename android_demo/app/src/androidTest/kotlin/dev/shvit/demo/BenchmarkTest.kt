package dev.shvit.demo

import android.content.Intent
import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import dev.shvit.core.documents.DeviceReport
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

/** Tests the headless benchmark on a phone or emulator, with the embedded models. */
@RunWith(AndroidJUnit4::class)
class BenchmarkTest {
    private val app = InstrumentationRegistry.getInstrumentation().targetContext

    @Test
    fun extrasBecomeAReportThatPassesTheGoldens() {
        val file = File(app.getExternalFilesDir(null), "reports/instrumented.json")
        file.delete()
        app.startActivity(
            Intent(app, BenchmarkActivity::class.java)
                .addFlags(Intent.FLAG_ACTIVITY_NEW_TASK)
                .putExtra("benchmark", "all")
                .putExtra("iterations", ITERATIONS)
                .putExtra("threads", "1,2")
                .putExtra("report", "instrumented"),
        )
        assertTrue("no report after $SECONDS s; see adb logcat -s shvit", appears(file))
        val report = DeviceReport.read(file.readText(), file.name)
        assertEquals(setOf(1, 2), report.results.map { it.threads }.toSet())
        for (result in report.results) {
            assertEquals(ITERATIONS, result.latency.samples)
            assertTrue("${result.name} fails its golden check", result.golden?.passed ?: true)
        }
    }

    private fun appears(file: File): Boolean = (1..SECONDS).any {
        Thread.sleep(1000)
        file.exists()
    }

    private companion object {
        const val ITERATIONS = 20
        const val SECONDS = 300
    }
}
