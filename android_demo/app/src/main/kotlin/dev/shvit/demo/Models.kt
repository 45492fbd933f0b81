package dev.shvit.demo

import android.content.Context
import dev.shvit.AssetFiles
import dev.shvit.core.ShvitException
import dev.shvit.core.measure.BenchmarkPlan
import dev.shvit.core.measure.BenchmarkRequest
import dev.shvit.core.models.ModelStore
import dev.shvit.core.models.Stored
import dev.shvit.core.models.StoredModel

/** The models in the app, and the one that names pictures. */
internal class Models(context: Context) {
    private val settings = context.getSharedPreferences("models", Context.MODE_PRIVATE)
    private val store = ModelStore(AssetFiles(context.assets))

    /** All of them, the broken ones with what is wrong. */
    fun all(): List<Stored> = store.models()

    /**
     * Those that can run.
     *
     * @throws ShvitException there is none.
     */
    fun usable(stored: List<Stored> = all()): List<StoredModel> =
        BenchmarkPlan.of(BenchmarkRequest(), stored, cores = 1).subjects.map { it.model }

    /**
     * The chosen model; the first that can run where none was chosen, or where it is no longer there.
     *
     * @throws ShvitException there is none that can run.
     */
    fun chosen(stored: List<Stored> = all()): StoredModel {
        val usable = usable(stored)
        val name = settings.getString(CHOSEN, null)
        return usable.firstOrNull { it.stem == name } ?: usable.first()
    }

    fun choose(model: StoredModel) = settings.edit().putString(CHOSEN, model.stem).apply()

    private companion object {
        const val CHOSEN = "chosen"
    }
}
