package dev.shvit.core.measure

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.Cancelled
import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.ShvitException.LowPowerMode
import dev.shvit.core.ShvitException.PhoneTooWarm
import dev.shvit.core.ShvitException.RuntimeFailure
import dev.shvit.core.documents.Conditions
import dev.shvit.core.documents.DeviceReport
import dev.shvit.core.documents.FailedContestant
import dev.shvit.core.documents.FramePicture
import dev.shvit.core.documents.InferenceTiming
import dev.shvit.core.documents.Override
import dev.shvit.core.documents.Goldens
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Settings
import dev.shvit.core.documents.Target
import dev.shvit.core.documents.ThermalState
import dev.shvit.core.images.Pixels
import dev.shvit.core.images.Preprocessor
import dev.shvit.core.models.Runner
import dev.shvit.core.models.Engines
import dev.shvit.core.models.FolderFiles
import dev.shvit.core.models.GoldenFolder
import dev.shvit.core.models.LinkedEngine
import dev.shvit.core.models.LookUp
import dev.shvit.core.models.describe
import dev.shvit.core.models.imageIo
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

class ProfilerTest {
    private val phone = SimulatedPhone()

    private fun report(protocol: Protocol, vararg contestants: Contestant, on: SimulatedPhone = phone): DeviceReport =
        Profiler(protocol, on, on, on).report(reportContext, contestants.toList())

    @Test
    fun `rounds interleave the contestants, with a warm-up each, and load them once`() {
        val protocol = Protocol(warmUp = Turn.Iterations(1), turn = Turn.Iterations(2), rounds = 2)
        report(protocol, contestant(phone, "a", 4.0), contestant(phone, "b", 8.0))
        val turn = { name: String -> List(3) { "run $name" } }
        val first = { name: String -> listOf("load $name", "run $name") + turn(name) }
        assertEquals(first("a") + first("b") + turn("a") + turn("b") + listOf("close a", "close b"), phone.log)
        assertEquals(0, phone.loaded)
    }

    @Test
    fun `models with another number of threads are loaded after the others are closed`() {
        val protocol = Protocol(warmUp = Turn.Iterations(0), turn = Turn.Iterations(1), rounds = 2)
        val (a, a4) = contestant(phone, "a", 4.0, 1) to contestant(phone, "a4", 4.0, 4)
        val report = report(protocol, a, a4, contestant(phone, "b", 8.0, 1))
        val first = { name: String -> listOf("load $name", "run $name", "run $name") }
        val ones = first("a") + first("b") + listOf("run a", "run b", "close a", "close b")
        assertEquals(ones + first("a4") + listOf("run a4", "close a4"), phone.log)
        assertEquals(listOf("a" to 1, "a4" to 4, "b" to 1), report.results.map { it.name to it.threads })
    }

    @Test
    fun `contestants of the same rounds are compared with the first`() {
        val protocol = Protocol(warmUp = Turn.Iterations(1), turn = Turn.Iterations(3), rounds = 7)
        val names = mapOf("a" to 2, "b" to 2, "c" to 4, "d" to 4)
        val contestants = names.map { (name, count) -> contestant(phone, name, if (name == "b") 9.0 else 4.0, count) }
        val (a, b, c, d) = report(protocol, *contestants.toTypedArray()).results
        assertEquals(listOf(null, null, null), listOf(a.ratio, c.ratio, d.ratio))
        assertEquals(ratio(a.samplesMs.map { percentile(it, 50.0) }, b.samplesMs.map { percentile(it, 50.0) }), b.ratio)
        assertEquals(0.5, assertNotNull(b.ratio).value, 1e-9)
    }

    @Test
    fun `a result contains the measurements`() {
        val protocol = Protocol(warmUp = Turn.Iterations(1), turn = Turn.Iterations(3), rounds = 2)
        val report = report(protocol, contestant(phone, "a", 4.0))
        val result = report.results.single()
        assertEquals(30.0, result.loadMs)
        assertEquals(8.0, result.firstMs)
        assertEquals(listOf(listOf(5.0, 4.0, 5.0), listOf(5.0, 4.0, 5.0)), result.samplesMs)
        assertEquals(Latency.of(listOf(5.0, 4.0, 5.0, 5.0, 4.0, 5.0)), result.latency)
        assertEquals(45_000_000, result.peakMemoryBytes)
        assertEquals(6_000_000, result.runningMemoryBytes)
        assertEquals(24_079_656, result.sizeBytes)
        assertEquals(2, result.threads)
        assertNull(result.golden)
        val settings = Settings(
            threads = 2,
            batch = 1,
            rounds = 2,
            warmUp = 1,
            iterations = 3,
            timed = InferenceTiming.RUNTIME_CALL,
            framesS = 0.25,
        )
        assertEquals(settings, report.settings)
        assertNull(result.stages)
    }

    @Test
    fun `a timed turn ends with the first inference past its end`() {
        val protocol = Protocol(warmUp = Turn.Seconds(0.5), turn = Turn.Seconds(1.0), leastIterations = 3, rounds = 1)
        val report = report(protocol, contestant(phone, "a", 99.5), contestant(phone, "slow", 1500.0))
        assertEquals(10, report.results[0].samplesMs.single().size)
        assertEquals(3, report.results[1].samplesMs.single().size)
        assertEquals(1 + 5 + 10, phone.log.count { it == "run a" })
        assertEquals(1 + 1 + 3, phone.log.count { it == "run slow" })
        assertEquals(listOf(1, 3), listOf(report.settings.warmUp, report.settings.iterations))
        assertEquals(listOf(0.5, 1.0), listOf(report.settings.warmUpS, report.settings.turnS))
    }

    @Test
    fun `whole frames are measured stage by stage after each turn, and at least three of them`() {
        val protocol = Protocol(warmUp = Turn.Iterations(0), turn = Turn.Iterations(1), rounds = 2)
        val contestants = listOf("a" to 4.0, "slow" to 200.0).map { (name, milliseconds) ->
            contestant(phone, name, milliseconds, frame = cameraFrame())
        }
        val report = report(protocol, *contestants.toTypedArray())
        val (a, slow) = report.results.map { assertNotNull(it.stages) }
        assertTrue(a.total.samples in 100..130, "${a.total.samples} frames of about 5 ms in twice 0.25 s")
        assertEquals(6, slow.total.samples)
        // Pillow's part of the preprocessing takes no time on the simulated phone.
        assertEquals(0.25, a.preprocessing.p50)
        assertEquals(0.125, a.tensor.p50)
        assertEquals(4.5, a.inference.p50, 0.5)
        assertEquals(0.0625, a.decoding.p50)
        assertEquals(a.inference.p50 + 0.4375, a.total.p50)
        assertEquals(FramePicture(640, 480, FramePicture.Format.YUV_420, quarterTurns = 1), report.settings.picture)
        assertEquals(report, DeviceReport.read(report.text(), "the report"))
    }

    @Test
    fun `a power-saving mode is refused before and after the measurement, unless it is allowed`() {
        phone.savesPower = true
        val quick = Protocol(warmUp = Turn.Iterations(0), turn = Turn.Iterations(1), rounds = 1)
        assertFailsWith<LowPowerMode> { report(quick, contestant(phone, "a", 4.0)) }
        assertEquals(emptyList(), phone.log)
        val report = report(quick.copy(allowLowPower = true), contestant(phone, "a", 4.0))
        assertEquals(listOf(Override.LOW_POWER), report.settings.overrides)
        assertEquals(true, report.conditions?.lowPower)
        assertEquals(report, DeviceReport.read(report.text(), "the report"))
        phone.savesPower = false
        val switched = contestant(phone, "b", 4.0, golden = { phone.savesPower = true })
        assertFailsWith<LowPowerMode> { report(quick, switched) }
        assertEquals(0, phone.loaded)
    }

    @Test
    fun `a warm phone is waited for, and then refused, unless heat is allowed`() {
        val quick = Protocol(warmUp = Turn.Iterations(0), turn = Turn.Iterations(1), rounds = 1)
        val cooling = SimulatedPhone(coolAfter = 13.5)
        val told = ArrayList<String>()
        val report = Profiler(quick, cooling, cooling, cooling, progress = { told += it.what })
            .report(reportContext, listOf(contestant(cooling, "a", 4.0)))
        assertEquals(14.0, report.conditions?.waitedS)
        assertEquals(0.0, report.conditions?.thermal?.first()?.seconds)
        assertEquals(ThermalState.NOMINAL, report.conditions?.thermal?.first()?.state)
        assertEquals(14, told.count { it == "The phone cools" })

        val hot = SimulatedPhone(hotAfter = 0.0)
        val refused = assertFailsWith<PhoneTooWarm> { report(quick, contestant(hot, "a", 4.0), on = hot) }
        assertEquals("The phone's thermal state is fair.", refused.what)
        assertTrue("within 120 s" in refused.why, refused.why)
        assertEquals(emptyList(), hot.log)
    }

    @Test
    fun `heat can be allowed`() {
        val quick = Protocol(warmUp = Turn.Iterations(0), turn = Turn.Iterations(1), rounds = 1, allowHeat = true)
        val hot = SimulatedPhone(hotAfter = 0.0)
        val allowed = report(quick, contestant(hot, "a", 4.0), on = hot)
        assertEquals(listOf(Override.HEAT), allowed.settings.overrides)
        assertEquals(0.0, allowed.conditions?.waitedS)
        assertEquals(allowed, DeviceReport.read(allowed.text(), "the report"))
    }

    @Test
    fun `a run that waits for the phone to cool can be cancelled`() {
        val hot = SimulatedPhone(hotAfter = 0.0)
        var waits = 0
        val profiler = Profiler(Protocol(), hot, hot, hot, cancelled = { ++waits > 3 })
        assertFailsWith<Cancelled> { profiler.report(reportContext, listOf(contestant(hot, "a", 4.0))) }
        assertEquals(emptyList(), hot.log)
    }

    @Test
    fun `a sustained run reports windows and shows throttling`() {
        val warm = SimulatedPhone(hotAfter = 15.0)
        val protocol = Protocol(warmUp = Turn.Iterations(0), turn = Turn.Iterations(1), rounds = 1, sustainedSeconds = 25.0)
        val report = report(protocol, contestant(warm, "a", 99.5), on = warm)
        val windows = report.results.single().windows
        assertEquals(listOf(0.0, 10.0, 20.0), windows.map { Math.rint(it.startS) })
        assertEquals(ThermalState.NOMINAL, windows.first().thermal)
        assertEquals(ThermalState.FAIR, windows.last().thermal)
        assertEquals(99.5, windows.first().p50, 1.0)
        assertEquals(149.25, windows.last().p50, 1.5)
        assertTrue(windows.first().samples in 99..101, "${windows.first().samples} in 10 s")
        assertTrue(windows.last().samples in 32..34, "${windows.last().samples} in 5 s")
        val thermal = assertNotNull(report.conditions).thermal
        assertEquals(5, thermal.size)
        assertEquals(0.0, thermal.first().seconds)
        assertEquals(thermal.map { it.seconds }.sorted(), thermal.map { it.seconds })
        assertEquals(0.7, thermal.last().headroom)
    }

    @Test
    fun `unknown conditions are null`() {
        val silent = SilentPhone(phone)
        val protocol = Protocol(warmUp = Turn.Iterations(0), turn = Turn.Iterations(1), rounds = 1, sustainedSeconds = 1.0)
        val report = Profiler(protocol, silent, silent).report(reportContext, listOf(contestant(phone, "a", 4.0)))
        assertEquals(Conditions(waitedS = 0.0), report.conditions)
        val result = report.results.single()
        assertNull(result.peakMemoryBytes)
        assertNull(result.runningMemoryBytes)
        assertNull(result.windows.single().thermal)
    }

    @Test
    fun `cancelling stops before the next inference and closes all models`() {
        val profiler = Profiler(Protocol(), phone, phone, cancelled = { phone.log.size >= 7 })
        val contestants = listOf(contestant(phone, "a", 4.0), contestant(phone, "b", 4.0))
        assertFailsWith<Cancelled> { profiler.report(reportContext, contestants) }
        assertEquals(listOf("load a") + List(6) { "run a" } + "close a", phone.log)
        assertEquals(0, phone.loaded)
    }

    @Test
    fun `a failing model is closed and its error reported, and the others go on`() {
        val failing = Contestant("bad", "simulated", "fp32", pixels = Pixels.ramp(2, 2)) {
            object : Runner by SimulatedModel(phone, "bad", 1.0) {
                override fun outputs(pixels: Pixels, timer: StageTimer?) = throw RuntimeFailure("It fails.")
            }
        }
        val failed = ArrayList<Pair<String, Throwable>>()
        val profiler = Profiler(Protocol(rounds = 2), phone, phone, failed = { who, why -> failed += who.name to why })
        val report = profiler.report(reportContext, listOf(failing, contestant(phone, "a", 4.0)))
        assertEquals(listOf("a"), report.results.map { it.name })
        assertEquals(2, report.results.single().samplesMs.size)
        assertEquals(listOf("bad"), failed.map { it.first })
        assertEquals(listOf(FailedContestant("bad", "simulated", threads = 1, error = "It fails.")), report.failures)
        assertEquals(report, DeviceReport.read(report.text(), "the report"))
        assertEquals(1, phone.log.count { it == "load bad" })
        assertEquals(0, phone.loaded)
        assertFailsWith<RuntimeFailure> { report(Protocol(), failing) }
        assertEquals(0, phone.loaded)
    }

    @Test
    fun `a benchmark that is cancelled after its last inference makes no report`() {
        val protocol = Protocol(warmUp = Turn.Iterations(0), turn = Turn.Iterations(1), rounds = 1)
        val profiler = Profiler(protocol, phone, phone, cancelled = { "close a" in phone.log })
        assertFailsWith<Cancelled> { profiler.report(reportContext, listOf(contestant(phone, "a", 4.0))) }
    }

    @Test
    fun `progress is reported before each step and at the end`() {
        val reported = ArrayList<Progress>()
        val protocol = Protocol(warmUp = Turn.Iterations(0), turn = Turn.Iterations(1), rounds = 1, sustainedSeconds = 0.1)
        Profiler(protocol, phone, phone, progress = reported::add)
            .report(reportContext, listOf(contestant(phone, "a", 4.0), contestant(phone, "b", 4.0)))
        assertEquals(listOf("a", "b", "a, sustained", "b, sustained", ""), reported.map { it.what })
        assertEquals(listOf(0.0, 0.25, 0.5, 0.75, 1.0), reported.map { it.done })
    }

    @Test
    fun `an invalid protocol is rejected`() {
        assertFailsWith<InvalidSettings> { report(Protocol()) }
        assertFailsWith<InvalidSettings> { Protocol(turn = Turn.Iterations(0)) }
        assertFailsWith<InvalidSettings> { Protocol(turn = Turn.Seconds(Double.NaN)) }
        assertFailsWith<InvalidSettings> { Protocol(warmUp = Turn.Seconds(-1.0)) }
        assertFailsWith<InvalidSettings> { Protocol(rounds = 0) }
        assertFailsWith<InvalidSettings> { Protocol(leastIterations = 0) }
        assertFailsWith<InvalidSettings> { Protocol(framesSeconds = 0.0) }
        assertFailsWith<InvalidSettings> { Protocol(coolingSeconds = -1.0) }
        assertFailsWith<InvalidSettings> { Protocol(sustainedSeconds = -1.0) }
        assertFailsWith<InvalidSettings> { Protocol(windowSeconds = 0.0) }
    }

    @Test
    fun `Android's thermal states map to Apple's names`() {
        val names = (0..6).map { ThermalState.fromAndroid(it).word }
        assertEquals(listOf("nominal", "fair", "fair", "serious", "critical", "critical", "critical"), names)
    }

    /** `make test-android` passes the report that this writes to `shvit-mobile devices`. */
    @Test
    fun `the report of a whole run can be read again`() {
        val warm = SimulatedPhone(hotAfter = 12.0)
        val manifest = Manifest.read(
            Shared.fixtures.resolve("goldens/shvit_s1-64-executorch-fp32.manifest.json").readText(),
            "manifest",
        )
        val engine = LinkedEngine(Target.EXECUTORCH, "ExecuTorch", "1.4.1")
        val files = FolderFiles(Shared.fixtures)
        val name = "goldens/shvit_s1-64-executorch-fp32.goldens"
        val goldens = Goldens.read(Shared.fixtures.resolve("$name/goldens.json").readText(), "goldens.json")
        val folder = GoldenFolder(goldens, files, name)
        val preprocessor = Preprocessor(goldens.preprocessing)
        val checked = Contestant(
            name = "shvit_s1-64-executorch-fp32.pte",
            engine = engine.describe(manifest),
            precision = goldens.precision.word,
            artifactSha256 = goldens.artifactSha256,
            pixels = Pixels.ramp(2, 2),
            frame = cameraFrame(),
            golden = { folder.check(imageIo, preprocessor::pixels, LookUp.of(folder)) },
            load = { SimulatedModel(warm, "checked", 5.0) },
        )
        val measured = reportContext.copy(versions = Engines(engine).versions(listOf(manifest), "Android 15 (API 35)"))
        val report = Profiler(Protocol(sustainedSeconds = 20.0), warm, warm)
            .report(measured, listOf(checked, contestant(warm, "other", 7.0, threads = 1)))
        assertEquals(true, report.results.first().golden?.passed)
        assertEquals(true, report.results.last().ratio?.high?.isFinite())
        val text = report.text()
        assertEquals(report, DeviceReport.read(text, "the report"))
        System.getenv("SHVIT_REPORT")?.let { File(it).writeText(text) }
    }
}
