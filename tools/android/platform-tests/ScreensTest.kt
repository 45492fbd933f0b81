import android.app.Screens
import android.content.Intent
import android.graphics.Canvas
import android.net.Uri
import android.os.Bundle
import android.util.Log
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import com.google.ai.edge.litert.CompiledModel
import dev.shvit.ExecuTorch
import dev.shvit.core.documents.DeviceReport
import dev.shvit.core.documents.Goldens
import dev.shvit.core.images.Picture
import dev.shvit.demo.BenchmarkActivity
import dev.shvit.demo.CheckActivity
import dev.shvit.demo.HistogramView
import dev.shvit.demo.Library
import dev.shvit.demo.Models
import dev.shvit.demo.ModelsActivity
import dev.shvit.demo.R
import dev.shvit.demo.ReportProvider
import dev.shvit.litert.LiteRT
import fakes.Phone
import java.io.FileNotFoundException
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import org.pytorch.executorch.Module

/** The other screens. */
class ScreensTest : OnPhone() {
    private fun rows(screen: android.app.Activity) = screen.findViewById(R.id.rows) as ViewGroup

    private fun text(view: View, id: Int) = (view.findViewById(id) as TextView).text.toString()

    private fun benchmark(): BenchmarkActivity {
        val extras = Bundle()
        val quick = mapOf("warm_up" to 0, "iterations" to 2, "rounds" to 1)
        for ((key, value) in quick + mapOf("benchmark" to "all", "report" to "nightly")) extras.put(key, value)
        return Screens.open(BenchmarkActivity(), Intent("run").putExtras(extras))
    }

    @Test
    fun `a benchmark that the shell starts writes a report`() {
        val screen = benchmark()
        waitFor("the results are shown") { rows(screen).childCount == 1 }
        val report = Phone.files.resolve("reports/nightly.json")
        assertTrue("\"kind\": \"device_report\"" in report.readText())
        assertTrue("\"sustained_performance\": true" in report.readText())
        assertTrue("\"stages\": {" in report.readText())
        assertTrue(Log.LINES.any { "report: ${report.path}" in it }, Log.LINES.toString())
        assertEquals(View.VISIBLE, screen.findViewById(R.id.share).visibility)
        screen.findViewById(R.id.share).press()
        assertEquals("android.intent.action.CHOOSER", Phone.STARTED.last().action)
        Screens.close(screen)
    }

    @Test
    fun `a benchmark in a power-saving mode measures nothing and says why`() {
        Phone.lowPower = true
        val screen = benchmark()
        waitFor("the log tells it") { Log.LINES.any { "no report" in it } }
        assertTrue(Log.LINES.any { "error: A power-saving mode is on." in it }, Log.LINES.toString())
        assertEquals(0, Module.RUNS.get())
        Screens.close(screen)
    }

    @Test
    fun `a benchmark ends when its screen is left`() {
        Module.model = java.util.function.Function {
            Thread.sleep(20)
            FloatArray(10)
        }
        val screen = benchmark()
        waitFor("the benchmark measures") { Module.RUNS.get() > 0 }
        Screens.pause(screen)
        Screens.stop(screen)
        waitFor("the log tells it") { Log.LINES.any { "no report" in it } }
        Screens.closeStopped(screen)
    }

    @Test
    fun `the golden check compares pictures and logits`() {
        val folder = Phone.assets.resolve("models/$stem/$stem.goldens")
        val goldens = Goldens.read(folder.resolve(Goldens.FILE).readText(), Goldens.FILE)
        Module.model = java.util.function.Function { values ->
            val image = goldens.images.minByOrNull { image ->
                val bytes = folder.resolve(image.pixels).readBytes()
                (0 until SIDE * SIDE).sumOf { Math.abs((bytes[3 * it].toInt() and 0xFF) - values[it].toDouble()) }
            }
            FloatArray(10) { image!!.logits[it].toFloat() }
        }
        val screen = Screens.open(CheckActivity(), Intent())
        waitFor("the result is shown") { rows(screen).childCount == 1 }
        val row = rows(screen).getChildAt(0)
        assertTrue("pass" in text(row, R.id.title).lowercase(), text(row, R.id.details))
        waitFor("the check can be repeated") { screen.findViewById(R.id.action).visibility == View.VISIBLE }
        Screens.close(screen)
    }

    @Test
    fun `the models are listed, and one is chosen`() {
        val screen = Screens.open(ModelsActivity(), Intent())
        waitFor("the model is shown") { rows(screen).childCount == 1 }
        assertEquals(stem, text(rows(screen).getChildAt(0), R.id.title))
        assertEquals(false, rows(screen).getChildAt(0).findViewById(R.id.choose).isEnabled)
        Screens.close(screen)
    }

    @Test
    fun `a model of each runtime is listed, and either can be chosen`() {
        embedLiteRT()
        val screen = Screens.open(ModelsActivity(), Intent())
        waitFor("the models are shown") { rows(screen).childCount == 2 }
        assertEquals(listOf(stem, liteRTStem), (0..1).map { text(rows(screen).getChildAt(it), R.id.title) })
        val details = (0..1).map { text(rows(screen).getChildAt(it), R.id.details) }
        assertTrue(" of the operators to XNNPACK\n" in details[0].substringAfter("Runtime: ExecuTorch, delegates 100"), details[0])
        assertTrue("Runtime: LiteRT\n" in details[1], details[1])
        rows(screen).getChildAt(1).findViewById(R.id.choose).press()
        waitFor("the choice is shown") { !rows(screen).getChildAt(1).findViewById(R.id.choose).isEnabled }
        Screens.close(screen)
        val choice = Models(context).chosen()
        assertEquals(liteRTStem, choice.stem)
        background { Library(context).use(choice) { it.analyze(Picture(8, 8, IntArray(64) { RED })) } }
        assertShows(CompiledModel.input!!, RED, RED, RED, RED)
        background { Library.dropIdleModel() }
    }

    @Test
    fun `a benchmark measures the models of both runtimes and names them`() {
        embedLiteRT()
        val screen = benchmark()
        waitFor("the results are shown") { rows(screen).childCount == 2 }
        val report = DeviceReport.read(Phone.files.resolve("reports/nightly.json").readText(), "nightly.json")
        val engines = listOf("ExecuTorch ${ExecuTorch.version} (XNNPACK)", "LiteRT ${LiteRT.version}")
        assertEquals(engines, report.results.map { it.engine }.sorted())
        assertEquals(LiteRT.version, report.versions["litert"])
        assertEquals(ExecuTorch.version, report.versions["executorch"])
        assertTrue(report.results.all { it.golden != null && it.stages != null })
        Screens.close(screen)
    }

    @Test
    fun `the histogram stays within its view`() {
        val view = HistogramView(context, null)
        view.samples = List(200) { 3.0 + it % 17 / 10.0 }
        view.layOut(600, 240)
        val canvas = Canvas(600f, 240f)
        view.draw(canvas)
        assertTrue(canvas.rectangles > 10)
        assertTrue(canvas.texts.size >= 4)
    }

    @Test
    fun `reports are only read, and nothing else is`() {
        val provider = ReportProvider()
        provider.attach(context)
        val folder = Phone.files.resolve("reports").also { it.mkdirs() }
        folder.resolve("a.json").writeText("{}")
        Phone.files.resolve("secret.json").writeText("{}")
        fun address(name: String) =
            Uri.Builder().scheme("content").authority("dev.shvit.demo.reports").appendPath(name).build()
        assertEquals(folder.resolve("a.json").path, provider.openFile(address("a.json"), "r").file.path)
        assertFailsWith<FileNotFoundException> { provider.openFile(address("a.json"), "w") }
        assertFailsWith<FileNotFoundException> { provider.openFile(address("../secret.json"), "r") }
    }
}
