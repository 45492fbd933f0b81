package dev.shvit.core.measure

import dev.shvit.core.ShvitException.Cancelled
import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.ShvitException.LowPowerMode
import dev.shvit.core.ShvitException.PhoneTooWarm
import dev.shvit.core.documents.Conditions
import dev.shvit.core.documents.Device
import dev.shvit.core.documents.DeviceReport
import dev.shvit.core.documents.FailedContestant
import dev.shvit.core.documents.InferenceTiming
import dev.shvit.core.documents.Override
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
 * A sample is the call of the runtime alone; whole frames are measured after each turn, stage by stage.
 *
 * Runs on the calling thread, which must not be a phone's main thread.
 *
 * @property sleep Waits while the phone cools before the measurement.
 * @property cancelled Called before every inference; true cancels the measurement.
 * @property progress Called before each step.
 * @property failed Called once for a contestant that fails. The report contains its error; the others go on.
 */
class Profiler(
    private val protocol: Protocol,
    private val clock: Clock,
    private val phone: Phone,
    private val sleep: Sleep = Sleep(Thread::sleep),
    private val cancelled: () -> Boolean = { false },
    private val progress: (Progress) -> Unit = {},
    private val failed: (Contestant, Throwable) -> Unit = { _, _ -> },
) {
    /**
     * Measures the contestants and returns the report.
     *
     * @throws InvalidSettings If there are no contestants. If all contestants fail, what the first of them throws.
     * @throws LowPowerMode If a power-saving mode is on before or after the measurement, and not allowed.
     * @throws PhoneTooWarm If the phone is warm before the measurement, and does not cool in time.
     * @throws Cancelled If it was cancelled. No model stays loaded, however it ends.
     */
    fun report(reportContext: ReportContext, contestants: List<Contestant>): DeviceReport {
        if (contestants.isEmpty()) throw InvalidSettings("There is nothing to measure.", "Choose at least one model.")
        return Measurement(contestants).use { it.report(reportContext) }
    }

    /** A running measurement. */
    private inner class Measurement(contestants: List<Contestant>) : AutoCloseable {
        private val gate = StartGate(protocol, phone, sleep)
        private var began = 0L
        private val heat = ArrayList<ThermalSample>()
        private val entries = contestants.map { Entry(it, clock, phone) }
        private val results = HashMap<Entry, Result>()
        private val failures = LinkedHashMap<Entry, Throwable>()
        private val steps = contestants.size * (protocol.rounds + if (protocol.sustainedSeconds > 0) 1 else 0)
        private var done = 0

        override fun close() = entries.forEach(Entry::close)

        fun report(reportContext: ReportContext): DeviceReport {
            val start = gate.enter {
                stopIfCancelled()
                progress(Progress("The phone cools", 0.0))
            }
            val before = Conditions(start.lowPower, phone.battery(), phone.charging(), waitedS = start.waitedS)
            began = clock.nanoseconds()
            start.thermal?.let { heat += ThermalSample(0.0, it.state, it.headroom) }
            entries.groupBy { it.contestant.threads }.values.forEach(::measure)
            stopIfCancelled()
            if (results.isEmpty()) throw failures.values.first()
            gate.leave()
            progress(Progress("", 1.0))
            return DeviceReport(
                created = reportContext.created,
                app = reportContext.app,
                runId = reportContext.runId,
                fixture = reportContext.fixture,
                versions = reportContext.versions,
                device = reportContext.device,
                settings = settings(),
                conditions = before.copy(
                    thermal = heat.toList(),
                    sustainedPerformance = phone.sustainedPerformance(),
                ),
                results = entries.mapNotNull(results::get),
                failures = failures.map { (entry, reason) -> describe(entry.contestant, reason) },
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
            entry.warmUp = minOf(entry.warmUp, timed(entry, protocol.warmUp, least = 0).size)
            entry.rounds += timed(entry, protocol.turn, protocol.leastIterations)
            entry.noteMemory()
            frames(entry)
            feel()
        }

        /** Takes whole frames through all stages, at least three. */
        private fun frames(entry: Entry) {
            if (entry.contestant.frame == null) return
            val end = clock.nanoseconds() + nanoseconds(protocol.framesSeconds)
            var count = 0
            while (count < LEAST_FRAMES || clock.nanoseconds() < end) {
                stopIfCancelled()
                entry.runFrame()
                count++
            }
        }

        private fun timed(entry: Entry, turn: Turn, least: Int): List<Double> = when (turn) {
            is Turn.Iterations -> List(turn.count) { timed(entry) }
            is Turn.Seconds -> timedUntil(entry, clock.nanoseconds() + nanoseconds(turn.seconds), least)
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

        /** Runs inferences until the clock shows [end], but at least as many as wanted. */
        private fun timedUntil(entry: Entry, end: Long, least: Int = 1): List<Double> {
            val samples = ArrayList<Double>()
            while (samples.size < least || clock.nanoseconds() < end) samples += timed(entry)
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

        private fun describe(contestant: Contestant, reason: Throwable) = FailedContestant(
            name = contestant.name,
            engine = contestant.engine,
            compute = contestant.compute,
            threads = contestant.threads,
            error = reason.message?.takeIf(String::isNotBlank) ?: reason.javaClass.simpleName,
        )

        /** For turns of fixed duration, reports the iterations of the slowest turn. */
        private fun settings(): Settings = Settings(
            threads = entries.first().contestant.threads,
            batch = 1,
            rounds = protocol.rounds,
            warmUp = results.keys.minOf { it.warmUp },
            iterations = results.keys.minOf { entry -> entry.rounds.minOf { it.size } },
            timed = InferenceTiming.RUNTIME_CALL,
            warmUpS = (protocol.warmUp as? Turn.Seconds)?.seconds,
            turnS = (protocol.turn as? Turn.Seconds)?.seconds,
            framesS = protocol.framesSeconds,
            picture = results.keys.firstNotNullOfOrNull { it.contestant.frame?.picture },
            overrides = listOfNotNull(
                Override.LOW_POWER.takeIf { protocol.allowLowPower },
                Override.HEAT.takeIf { protocol.allowHeat },
            ),
        )
    }

    private companion object {
        const val LEAST_FRAMES = 3
    }
}
