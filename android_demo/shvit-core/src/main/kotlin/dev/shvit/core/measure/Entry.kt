package dev.shvit.core.measure

import dev.shvit.core.documents.GoldenCheck
import dev.shvit.core.documents.Result
import dev.shvit.core.documents.Window
import dev.shvit.core.models.Classifier
import dev.shvit.core.models.Inference

/** A contestant while it is measured: loaded at its first turn, and what was measured so far. */
internal class Entry(val contestant: Contestant, private val clock: Clock, private val phone: Phone) : AutoCloseable {
    val rounds = ArrayList<List<Double>>()
    val windows = ArrayList<Window>()

    private var loaded: Loaded? = null

    /** What is known from loading on. */
    private class Loaded(
        val classifier: Classifier,
        val inference: Inference,
        val loadMs: Double,
        val firstMs: Double,
        val golden: GoldenCheck?,
        val memory: Memory?,
    )

    /** Of the process, in bytes: before loading, and once loaded. */
    private class Memory(val before: Long, val loaded: Long, val afterFirst: Long) {
        var running: Long? = null
    }

    /** Loads the model and runs it once, timed, and checks its goldens; nothing where it is loaded already. */
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
            val inference = classifier.prepared(contestant.pixels)
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

    /** One inference, in milliseconds. */
    fun timed(): Double = timed(ready().inference)

    private fun timed(inference: Inference): Double {
        val start = clock.nanoseconds()
        inference.run()
        return millisecondsSince(start)
    }

    /** Notes what the process grew by in the first turn; later on it has grown by what others loaded, too. */
    fun noteMemory() {
        val memory = loaded?.memory ?: return
        if (memory.running == null) memory.running = phone.memoryBytes()?.let { maxOf(it - memory.loaded, 0) }
    }

    /** The medians of the rounds. */
    private val medians: List<Double> get() = rounds.map { percentile(it, 50.0) }

    /** What was measured; [first] is the one that it took turns with and is compared to, if any. */
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
