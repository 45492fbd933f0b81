package dev.shvit.core.measure

import dev.shvit.core.ShvitException.Cancelled
import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.documents.Conditions
import dev.shvit.core.documents.Device
import dev.shvit.core.documents.DeviceReport
import dev.shvit.core.documents.Result
import dev.shvit.core.documents.Settings
import dev.shvit.core.documents.ThermalSample
import dev.shvit.core.documents.Window

/**
 * What a report says besides the measurements.
 *
 * @property created The time, in ISO 8601 with the offset from UTC.
 * @property app The app that measures, with its version and build.
 * @property versions The versions of the engine, the app's library and the system.
 * @property fixture Whether the report is a test fixture, whose figures are not measured.
 * @property runId The identity of the run, if a computer started it.
 */
data class ReportContext(
    val created: String,
    val app: String,
    val versions: Map<String, String>,
    val device: Device,
    val fixture: Boolean = false,
    val runId: String? = null,
)

/** The progress of a measurement: the current step, and the share of all work that is done. */
data class Progress(val what: String, val done: Double)

/**
 * Measures contestants by a [Protocol] and creates the device report.
 *
 * Contestants with the same number of threads share rounds. Those with another number follow when these are closed,
 * since ExecuTorch has one thread pool per process, which the last loaded model resizes for all.
 *
 * Runs on the calling thread, which must not be a phone's main thread.
 *
 * @property cancelled Called before every inference; true cancels the measurement.
 * @property progress Called before each step.
 * @property failed Called once for a contestant that fails. It is left out of the report; the others go on.
 */
class Profiler(
    private val protocol: Protocol,
    private val clock: Clock,
    private val phone: Phone,
    private val cancelled: () -> Boolean = { false },
    private val progress: (Progress) -> Unit = {},
    private val failed: (Contestant, Throwable) -> Unit = { _, _ -> },
) {
    /**
     * Measures the contestants and returns the report.
     *
     * @throws InvalidSettings If there are no contestants. If all contestants fail, what the first of them throws.
     * @throws Cancelled If it was cancelled. No model stays loaded, however it ends.
     */
    fun report(reportContext: ReportContext, contestants: List<Contestant>): DeviceReport {
        if (contestants.isEmpty()) throw InvalidSettings("There is nothing to measure.", "Choose at least one model.")
        return Measurement(contestants).use { it.report(reportContext) }
    }

    /** A running measurement. */
    private inner class Measurement(contestants: List<Contestant>) : AutoCloseable {
        private val began = clock.nanoseconds()
        private val heat = ArrayList<ThermalSample>()
        private val entries = contestants.map { Entry(it, clock, phone) }
        private val results = HashMap<Entry, Result>()
        private val failures = LinkedHashMap<Entry, Throwable>()
        private val steps = contestants.size * (protocol.rounds + if (protocol.sustainedSeconds > 0) 1 else 0)
        private var done = 0

        override fun close() = entries.forEach(Entry::close)

        fun report(reportContext: ReportContext): DeviceReport {
            val before = Conditions(phone.lowPower(), phone.battery(), phone.charging())
            feel()
            entries.groupBy { it.contestant.threads }.values.forEach(::measure)
            stopIfCancelled()
            if (results.isEmpty()) throw failures.values.first()
            progress(Progress("", 1.0))
            return DeviceReport(
                created = reportContext.created,
                app = reportContext.app,
                runId = reportContext.runId,
                fixture = reportContext.fixture,
                versions = reportContext.versions,
                device = reportContext.device,
                settings = settings(),
                conditions = before.copy(thermal = heat.toList()),
                results = entries.mapNotNull(results::get),
            )
        }

        /** Measures the contestants with one number of threads, and closes them. */
        private fun measure(group: List<Entry>) {
            repeat(protocol.rounds) {
                for (entry in group) {
                    step(entry.contestant.name)
                    attempt(entry, ::turn)
                }
            }
            if (protocol.sustainedSeconds > 0) {
                for (entry in group) {
                    step("${entry.contestant.name}, sustained")
                    attempt(entry, ::sustain)
                }
            }
            val measured = group.filter { it !in failures }
            val first = entries.first().takeIf { it in measured }
            for (entry in measured) {
                results[entry] = entry.result(first.takeIf { it !== entry })
                entry.close()
            }
        }

        /** Runs a step, unless the contestant failed before. A runtime also throws errors, not only exceptions. */
        private fun attempt(entry: Entry, work: (Entry) -> Unit) {
            if (entry in failures) return
            try {
                work(entry)
            } catch (reason: Cancelled) {
                throw reason
            } catch (reason: Throwable) {
                failures[entry] = reason
                entry.close()
                failed(entry.contestant, reason)
            }
        }

        private fun turn(entry: Entry) {
            stopIfCancelled()
            entry.loadOnce()
            repeat(protocol.warmUp) { timed(entry) }
            entry.rounds += when (val turn = protocol.turn) {
                is Turn.Iterations -> List(turn.count) { timed(entry) }
                is Turn.Seconds -> timedUntil(entry, clock.nanoseconds() + nanoseconds(turn.seconds))
            }
            entry.noteMemory()
            feel()
        }

        private fun sustain(entry: Entry) {
            val start = clock.nanoseconds()
            val end = start + nanoseconds(protocol.sustainedSeconds)
            while (true) {
                val windowStart = clock.nanoseconds()
                if (windowStart >= end) return
                val samples = timedUntil(entry, minOf(windowStart + nanoseconds(protocol.windowSeconds), end))
                val median = percentile(samples, 50.0)
                entry.windows += Window((windowStart - start) / 1e9, samples.size, median, feel()?.state)
            }
        }

        /** Runs inferences until the clock shows [end]; at least one. */
        private fun timedUntil(entry: Entry, end: Long): List<Double> {
            val samples = arrayListOf(timed(entry))
            while (clock.nanoseconds() < end) samples += timed(entry)
            return samples
        }

        private fun timed(entry: Entry): Double {
            stopIfCancelled()
            return entry.timed()
        }

        private fun stopIfCancelled() {
            if (cancelled()) throw Cancelled("The measurement was cancelled.")
        }

        /** Records the phone's thermal state, if known. */
        private fun feel(): ThermalReading? = phone.thermal()?.also {
            heat += ThermalSample((clock.nanoseconds() - began) / 1e9, it.state, it.headroom)
        }

        private fun step(what: String) {
            progress(Progress(what, done.toDouble() / steps))
            done++
        }

        private fun nanoseconds(seconds: Double): Long = (seconds * 1e9).toLong()

        /** For turns of fixed duration, reports the iterations of the slowest turn. */
        private fun settings(): Settings = Settings(
            threads = entries.first().contestant.threads,
            batch = 1,
            rounds = protocol.rounds,
            warmUp = protocol.warmUp,
            iterations = results.keys.minOf { entry -> entry.rounds.minOf { it.size } },
        )
    }
}
