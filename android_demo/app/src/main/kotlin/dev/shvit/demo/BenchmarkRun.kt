package dev.shvit.demo

import android.content.Context
import android.util.Log
import dev.shvit.AndroidPhone
import dev.shvit.ShvitModel
import dev.shvit.core.ShvitException.Cancelled
import dev.shvit.core.documents.DeviceReport
import dev.shvit.core.images.Pixels
import dev.shvit.core.images.Preprocessor
import dev.shvit.core.measure.BenchmarkPlan
import dev.shvit.core.measure.BenchmarkRequest
import dev.shvit.core.measure.Contestant
import dev.shvit.core.measure.FrameSource
import dev.shvit.core.measure.Profiler
import dev.shvit.core.measure.Progress
import dev.shvit.core.measure.RunLog
import dev.shvit.core.measure.Subject
import dev.shvit.core.models.OutputDecoder
import dev.shvit.core.models.describe
import dev.shvit.monotonic
import java.io.File

/** A benchmark, from the request to the report's file. */
internal class BenchmarkRun(private val context: Context, private val request: BenchmarkRequest) :
    Work<BenchmarkRun.State>(Measuring(context.getString(R.string.preparing), 0.0)) {

    sealed interface State

    /** The benchmark runs; `done` is the progress from 0 to 1. */
    class Measuring(val words: String, val done: Double) : State

    class Measured(val words: String, val report: DeviceReport, val file: File) : State

    /** The benchmark was cancelled, or failed. */
    class Ended(val words: String) : State

    private val library = Library(context)

    /** The phone that is measured. */
    val phone: AndroidPhone get() = library.phone
    private val failures = ArrayList<String>()
    private val log = RunLog(request.runId) { Log.i(LOG, it) }

    @Volatile
    var running = true
        private set

    /** Why the benchmark ended early, if it was not cancelled by hand. */
    @Volatile
    private var interrupted = false

    /** Cancels the benchmark because its screen is no longer shown: Android slows down what runs in the background. */
    fun interrupt() {
        interrupted = true
        cancel()
    }

    override fun run(): State = Library.alone(::measure)

    private fun measure(): State = try {
        val plan = BenchmarkPlan.of(request, Models(context).all(), library.phone.device.cores, Library.ENGINES)
        for (model in plan.subjects.map { it.model }.distinct()) library.prepare(model)
        val profiler = Profiler(
            request.protocol,
            monotonic,
            library.phone,
            cancelled = ::cancelled,
            progress = ::tell,
            failed = ::tellFailed,
        )
        val reportContext = library.reportContext(plan.subjects.map { it.model.manifest }).copy(runId = request.runId)
        val report = profiler.report(reportContext, plan.subjects.map(::contestant))
        val file = Reports(context).write(report, request.report)
        for (each in plan.leftOut) log.error(each.reason.message.orEmpty())
        log.report(file.path)
        Measured(words(plan, file), report, file)
    } finally {
        running = false
    }

    override fun failed(reason: Throwable): State {
        val words = when {
            reason !is Cancelled -> context.words(reason)
            interrupted -> context.getString(R.string.interrupted)
            else -> context.getString(R.string.cancelled)
        }
        log.error(words)
        log.noReport()
        return Ended(words)
    }

    private fun tell(progress: Progress) {
        log.progress(progress)
        tell(Measuring(context.getString(R.string.measuring, progress.what), progress.done))
    }

    private fun tellFailed(contestant: Contestant, reason: Throwable) {
        val words = context.getString(R.string.measurement_failed, contestant.name, context.words(reason))
        log.error(words)
        failures += words
    }

    private fun contestant(subject: Subject): Contestant {
        val manifest = subject.model.manifest
        val preprocessing = manifest.preprocessing
        val goldens = subject.model.goldens()
        return Contestant(
            name = manifest.artifact.name,
            engine = Library.ENGINES.of(manifest).describe(manifest),
            precision = manifest.precision.word,
            artifactSha256 = manifest.artifact.sha256,
            pixels = Pixels.ramp(preprocessing.height, preprocessing.width),
            threads = subject.threads,
            sizeBytes = manifest.artifact.bytes,
            drift = manifest.drift,
            frame = FrameSource.camera(Preprocessor(preprocessing), OutputDecoder(manifest)),
            golden = goldens?.let { folder ->
                { library.check(folder, it as ShvitModel) }
            },
            load = { library.load(subject.model, subject.threads) },
        )
    }

    private fun words(plan: BenchmarkPlan, file: File): String {
        val leftOut = plan.leftOut.map { context.getString(R.string.left_out, it.reason.message) }
        return (listOf(context.getString(R.string.report_written, file.path)) + failures + leftOut).joinToString("\n")
    }
}
