package dev.shvit.core.measure

import dev.shvit.core.BadModel
import dev.shvit.core.ShvitException
import dev.shvit.core.WrongSettings
import dev.shvit.core.documents.Target
import dev.shvit.core.models.Stored
import dev.shvit.core.models.StoredModel

/** A model to measure, on so many threads. */
data class Subject(val model: StoredModel, val threads: Int)

/**
 * What a benchmark will measure.
 *
 * @property subjects in the order of threads, then of models.
 * @property leftOut what is in the app and cannot be measured, where all models were asked for.
 */
class BenchmarkPlan private constructor(val subjects: List<Subject>, val leftOut: List<Stored.Broken>) {
    companion object {
        /**
         * The plan of a request.
         *
         * @param stored what the app holds.
         * @param cores of the phone: more threads than these would wait for each other.
         * @throws ShvitException there is no model, a named one is missing or broken, or there are too many threads.
         */
        fun of(request: BenchmarkRequest, stored: List<Stored>, cores: Int): BenchmarkPlan {
            request.threads.firstOrNull { it !in 1..cores }?.let {
                throw WrongSettings("$it threads cannot be measured here.", "This phone has $cores cores.")
            }
            val wanted = request.models?.map { named(it, stored) } ?: stored.map(::runnable)
            val models = wanted.filterIsInstance<Stored.Usable>().map { it.model }
            val broken = wanted.filterIsInstance<Stored.Broken>()
            if (models.isEmpty()) throw broken.firstOrNull()?.reason ?: noModel()
            return BenchmarkPlan(request.threads.flatMap { count -> models.map { Subject(it, count) } }, broken)
        }

        /** The words for an app without models. */
        fun noModel(): BadModel = BadModel(
            "There is no model in this app.",
            "Models are put into it before it is built.",
            "On the computer: shvit-mobile embed MODEL.pte --into android_demo",
        )

        /** Whether Android can run a model. */
        fun runs(model: StoredModel): Boolean = model.manifest.target == Target.EXECUTORCH

        private fun named(name: String, stored: List<Stored>): Stored {
            val found = stored.firstOrNull { it.stem == name } ?: throw if (stored.isEmpty()) noModel() else BadModel(
                "There is no model '$name' in this app.",
                "Models: ${stored.joinToString { it.stem }}.",
            )
            return runnable(found).also { if (it is Stored.Broken) throw it.reason }
        }

        /** A model that Android cannot run counts as broken. */
        private fun runnable(stored: Stored): Stored {
            if (stored !is Stored.Usable || runs(stored.model)) return stored
            val reason = BadModel(
                "${stored.stem} is made for ${stored.model.manifest.target.word}.",
                "This app runs ExecuTorch programs.",
                "Export it again: shvit-mobile export --target executorch",
            )
            return Stored.Broken(stored.stem, reason)
        }
    }
}
