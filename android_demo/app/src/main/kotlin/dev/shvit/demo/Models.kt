package dev.shvit.demo

import android.content.Context
import dev.shvit.AssetFiles
import dev.shvit.core.ShvitException
import dev.shvit.core.measure.BenchmarkPlan
import dev.shvit.core.measure.BenchmarkRequest
import dev.shvit.core.models.ModelStore
import dev.shvit.core.models.Stored
import dev.shvit.core.models.StoredModel

/** The models in the app, and the one that screens use. */
internal class Models(context: Context) {
    private val settings = context.getSharedPreferences("models", Context.MODE_PRIVATE)
    private val store = ModelStore(AssetFiles(context.assets))

    /** Returns all models; unusable ones with the error. */
    fun all(): List<Stored> = store.models()

    /**
     * Returns the models that can run.
     *
     * @throws ShvitException If there is none.
     */
    private fun usable(stored: List<Stored> = all()): List<StoredModel> =
        BenchmarkPlan.of(BenchmarkRequest(), stored, cores = 1, Library.ENGINES).subjects.map { it.model }

    /**
     * Returns the chosen model, or the first that can run if none was chosen or it no longer exists.
     *
     * @throws ShvitException If no model can run.
     */
    fun chosen(stored: List<Stored> = all()): StoredModel {
        val usable = usable(stored)
        val name = settings.getString(CHOSEN, null)
        return usable.firstOrNull { it.stem == name } ?: usable.first()
    }

    fun choose(model: StoredModel) = settings.edit().putString(CHOSEN, model.stem).apply()

    /** Whether large photos may be decoded at reduced scale. */
    var reducedScale: Boolean
        get() = settings.getBoolean(REDUCED_SCALE, false)
        set(allowed) = settings.edit().putBoolean(REDUCED_SCALE, allowed).apply()

    private companion object {
        const val CHOSEN = "chosen"
        const val REDUCED_SCALE = "reduced_scale"
    }
}
