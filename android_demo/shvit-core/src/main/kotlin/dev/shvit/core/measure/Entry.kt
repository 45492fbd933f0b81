package dev.shvit.core.measure

import dev.shvit.core.documents.GoldenCheck
import dev.shvit.core.documents.Result
import dev.shvit.core.documents.Window
import dev.shvit.core.models.Runner

/** A contestant during the measurement. It is loaded in the first round and collects the results. */
internal class Entry(val contestant: Contestant, private val clock: Clock, private val phone: Phone) : AutoCloseable {
    val rounds = ArrayList<List<Double>>()
    val windows = ArrayList<Window>()

    /** The fewest inferences of a warm-up. */
    var warmUp: Int = Int.MAX_VALUE

    private var loaded: Loaded? = null
    private val timer = StageTimer(clock)
    private val stages = Stage.entries.associateWith { ArrayList<Double>() }
    private val totals = ArrayList<Double>()

    /** The state after loading. */
    private class Loaded(
        val runner: Runner,
        val loadMs: Double,
        val firstMs: Double,
        val golden: GoldenCheck?,
        val memory: Memory?,
    )

    /** The memory of the process in bytes, before and after loading. */
    private class Memory(val before: Long, val loaded: Long, val afterFirst: Long) {
        var running: Long? = null
    }

    /** Loads the model, runs it once, measures both, and runs its golden check; does nothing if it is loaded. */
    fun loadOnce() {
        if (loaded == null) loaded = load()
    }

    private fun load(): Loaded {
        val before = phone.memoryBytes()
        val start = clock.nanoseconds()
        val runner = contestant.load()
        val loadMs = millisecondsSince(start)
        return try {
            val afterLoad = phone.memoryBytes()
            val firstMs = timed(runner)
            val afterFirst = phone.memoryBytes()
            val known = before != null && afterLoad != null && afterFirst != null
            val memory = if (known) Memory(before, afterLoad, afterFirst) else null
            Loaded(runner, loadMs, firstMs, contestant.golden?.invoke(runner), memory)
        } catch (reason: Throwable) {
            runner.close()
            throw reason
        }
    }

    /** Runs one inference and returns the latency of the runtime's call in milliseconds. */
    fun timed(): Double = timed(ready().runner)

    private fun timed(runner: Runner): Double {
        timer.reset()
        runner.outputs(contestant.pixels, timer)
        return timer.milliseconds(Stage.INFERENCE)
    }

    /** Takes a picture through all stages and records how long each takes; does nothing without a picture. */
    fun runFrame() {
        val frame = contestant.frame ?: return
        val runner = ready().runner
        timer.reset()
        val start = clock.nanoseconds()
        frame.run(runner, timer)
        totals += millisecondsSince(start)
        for ((stage, samples) in stages) samples += timer.milliseconds(stage)
    }

    private fun stages(): Stages? {
        if (totals.isEmpty()) return null
        fun of(stage: Stage) = Latency.of(stages.getValue(stage))
        return Stages(
            preprocessing = of(Stage.PREPROCESSING),
            tensor = of(Stage.TENSOR),
            inference = of(Stage.INFERENCE),
            decoding = of(Stage.DECODING),
            total = Latency.of(totals),
        )
    }

    /**
     * Records the growth of the process in the first round. In later rounds other contestants' memory would count too.
     */
    fun noteMemory() {
        val memory = loaded?.memory ?: return
        if (memory.running == null) memory.running = phone.memoryBytes()?.let { maxOf(it - memory.loaded, 0) }
    }

    /** The medians of the rounds. */
    private val medians: List<Double> get() = rounds.map { percentile(it, 50.0) }

    /** Returns the result. [first] is the contestant of the same rounds to compare with, if any. */
    fun result(first: Entry?): Result {
        val ready = ready()
        return Result(
            name = contestant.name,
            engine = contestant.engine,
            precision = contestant.precision,
            artifactSha256 = contestant.artifactSha256,
            compute = contestant.compute,
            threads = contestant.threads,
            loadMs = ready.loadMs,
            firstMs = ready.firstMs,
            latency = Latency.of(rounds.flatten()),
            samplesMs = rounds.toList(),
            stages = stages(),
            windows = windows.toList(),
            ratio = first?.let { ratio(it.medians, medians) },
            peakMemoryBytes = ready.memory?.let { maxOf(it.loaded, it.afterFirst, it.before) - it.before },
            runningMemoryBytes = ready.memory?.running,
            sizeBytes = contestant.sizeBytes,
            golden = ready.golden,
            drift = contestant.drift,
        )
    }

    override fun close() {
        loaded?.runner?.close()
        loaded = null
    }

    private fun ready(): Loaded = checkNotNull(loaded) { "${contestant.name} has not been loaded" }

    private fun millisecondsSince(start: Long): Double = (clock.nanoseconds() - start) / 1e6
}
