package dev.shvit.core.measure

import dev.shvit.core.documents.GoldenCheck
import dev.shvit.core.documents.Result
import dev.shvit.core.documents.Window
import dev.shvit.core.models.Classifier
import dev.shvit.core.models.Inference

/** A contestant during the measurement. It is loaded in the first round and collects the results. */
internal class Entry(val contestant: Contestant, private val clock: Clock, private val phone: Phone) : AutoCloseable {
    val rounds = ArrayList<List<Double>>()
    val windows = ArrayList<Window>()

    private var loaded: Loaded? = null

    /** The state after loading. */
    private class Loaded(
        val classifier: Classifier,
        val inference: Inference,
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
        val classifier = contestant.load()
        val loadMs = millisecondsSince(start)
        return try {
            val afterLoad = phone.memoryBytes()
            val inference = classifier.prepare(contestant.pixels)
            val firstMs = timed(inference)
            val afterFirst = phone.memoryBytes()
            val known = before != null && afterLoad != null && afterFirst != null
            val memory = if (known) Memory(before, afterLoad, afterFirst) else null
            Loaded(classifier, inference, loadMs, firstMs, contestant.golden?.invoke(classifier), memory)
        } catch (reason: Throwable) {
            classifier.close()
            throw reason
        }
    }

    /** Runs one inference and returns its latency in milliseconds. */
    fun timed(): Double = timed(ready().inference)

    private fun timed(inference: Inference): Double {
        val start = clock.nanoseconds()
        inference.run()
        return millisecondsSince(start)
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
        loaded?.classifier?.close()
        loaded = null
    }

    private fun ready(): Loaded = checkNotNull(loaded) { "${contestant.name} has not been loaded" }

    private fun millisecondsSince(start: Long): Double = (clock.nanoseconds() - start) / 1e6
}
