package dev.shvit.demo

import android.app.Activity
import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import dev.shvit.core.ShvitException
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Task
import dev.shvit.core.models.Stored
import dev.shvit.core.models.StoredModel

/** Lists the models in the app with their manifests. You choose one of them. */
internal class ModelsActivity : Activity() {
    private lateinit var models: Models

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.list)
        models = Models(this)
        list()
    }

    private fun list() = read(models::all) { show(it) }

    private fun show(stored: List<Stored>) {
        val chosen = try {
            models.chosen(stored)
        } catch (reason: ShvitException) {
            view<TextView>(R.id.status).text = reason.message
            null
        }
        val rows = view<ViewGroup>(R.id.rows)
        rows.removeAllViews()
        for (each in stored) {
            val row = layoutInflater.inflate(R.layout.row, rows, false)
            row.view<TextView>(R.id.title).text = each.stem
            row.view<TextView>(R.id.details).text = when (each) {
                is Stored.Usable -> details(each.model.manifest)
                is Stored.Broken -> each.reason.message
            }
            if (each is Stored.Usable && Library.ENGINES.runs(each.model.manifest)) {
                offer(row.view(R.id.choose), each.model, chosen)
            }
            rows.addView(row)
        }
    }

    private fun offer(button: Button, model: StoredModel, chosen: StoredModel?) {
        val inUse = model.stem == chosen?.stem
        button.visibility = View.VISIBLE
        button.isEnabled = !inUse
        button.setText(if (inUse) R.string.chosen_model else R.string.choose_model)
        button.contentDescription = "${button.text}: ${model.stem}"
        button.setOnClickListener {
            models.choose(model)
            list()
        }
    }

    private fun details(manifest: Manifest): String = getString(
        R.string.model_details,
        manifest.model.variant,
        manifest.precision.word,
        formatter.megabytes(manifest.artifact.bytes),
        manifest.preprocessing.height,
        manifest.preprocessing.width,
        manifest.labels.size,
        runtime(manifest),
        drift(manifest),
        manifest.goldens?.name ?: getString(R.string.no_goldens),
        manifest.versions.entries.joinToString { "${it.key} ${it.value}" },
        manifest.artifact.sha256.take(SHOWN_DIGITS),
        getString(TASKS.getValue(manifest.task)),
    )

    /** Returns how close a model is to the float model: the share of equal classes, or of maps the SQNR. */
    private fun drift(manifest: Manifest): String {
        val drift = manifest.drift ?: return getString(R.string.no_drift)
        return drift.agreement?.let { formatter.percent(it.value) } ?: formatter.decibels(drift.sqnrDb)
    }

    /** Returns what runs a model, with the share that it delegates if the manifest states one. */
    private fun runtime(manifest: Manifest): String {
        val name = if (Library.ENGINES.runs(manifest)) Library.ENGINES.of(manifest).name else manifest.target.word
        val delegation = manifest.delegation ?: return name
        return getString(R.string.delegated, name, formatter.percent(delegation.share), delegation.name)
    }

    private companion object {
        /** The number of a SHA-256's digits to show. */
        const val SHOWN_DIGITS = 12
        val TASKS = mapOf(
            Task.CLASSIFY to R.string.task_classify,
            Task.FEATURES to R.string.task_features,
            Task.DETECT to R.string.task_detect,
        )
    }
}
