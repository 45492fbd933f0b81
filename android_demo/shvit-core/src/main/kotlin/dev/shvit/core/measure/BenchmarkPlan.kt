package dev.shvit.core.measure

import dev.shvit.core.ShvitException
import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.models.Engines
import dev.shvit.core.models.ModelStore
import dev.shvit.core.models.Stored
import dev.shvit.core.models.StoredModel

/** A model to measure on a number of threads. */
data class Subject(val model: StoredModel, val threads: Int)

/**
 * The measurements of a benchmark.
 *
 * @property subjects The measurements, ordered by threads, then by models.
 * @property leftOut The models in the app that cannot be measured, if all models were requested.
 */
class BenchmarkPlan private constructor(val subjects: List<Subject>, val leftOut: List<Stored.Broken>) {
    companion object {
        /**
         * Creates the plan for a request.
         *
         * @param stored The models in the app.
         * @param cores The phone's cores, which limit the number of threads.
         * @param engines The runtimes of the app.
         * @throws ShvitException If there is no model, a named one is missing or unusable, or there are too many
         *   threads.
         */
        fun of(request: BenchmarkRequest, stored: List<Stored>, cores: Int, engines: Engines): BenchmarkPlan {
            request.threads.firstOrNull { it !in 1..cores }?.let {
                throw InvalidSettings("$it threads cannot be measured on this phone.", "It has $cores cores.")
            }
            val wanted = request.models?.map { named(it, stored, engines) } ?: stored.map { runnable(it, engines) }
            val models = wanted.filterIsInstance<Stored.Usable>().map { it.model }
            val broken = wanted.filterIsInstance<Stored.Broken>()
            if (models.isEmpty()) throw broken.firstOrNull()?.reason ?: ModelStore.noModel()
            return BenchmarkPlan(request.threads.flatMap { count -> models.map { Subject(it, count) } }, broken)
        }

        private fun named(name: String, stored: List<Stored>, engines: Engines): Stored {
            val found = stored.firstOrNull { it.stem == name }
                ?: throw ModelStore.notEmbedded(name, stored.map { it.stem })
            return runnable(found, engines).also { if (it is Stored.Broken) throw it.reason }
        }

        /** Returns a model, or an error if no runtime of the app runs it. */
        private fun runnable(stored: Stored, engines: Engines): Stored {
            if (stored !is Stored.Usable) return stored
            return try {
                engines.of(stored.model.manifest)
                stored
            } catch (reason: UnsupportedDocument) {
                Stored.Broken(stored.stem, reason)
            }
        }
    }
}
