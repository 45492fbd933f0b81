package dev.shvit.demo

import android.content.Context
import android.net.Uri
import dev.shvit.AndroidPhone
import dev.shvit.BitmapDecoder
import dev.shvit.ExecuTorch
import dev.shvit.ShvitModel
import dev.shvit.core.ShvitException
import dev.shvit.core.ShvitException.UndecodablePicture
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.documents.GoldenCheck
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.Task
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.measure.ReportContext
import dev.shvit.core.models.Engines
import dev.shvit.core.models.GoldenFolder
import dev.shvit.core.models.LoadedModel
import dev.shvit.core.models.StoredModel
import dev.shvit.litert.LiteRT
import java.io.IOException
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale

/** The library as this app uses it. Call it off the main thread, except for the phone's conditions. */
internal class Library(private val context: Context) {
    val phone = AndroidPhone(context)
    private val cache = ShvitModel.artifactCache(context)

    /** Loads a model to measure or check it. */
    fun load(model: StoredModel, threads: Int): ShvitModel =
        ShvitModel.load(model, cache, threads, ENGINES)

    /**
     * Runs a task with a model, which stays loaded for the next task of any screen.
     *
     * @throws UnsupportedDocument If the model gives feature maps, which no screen shows.
     */
    fun <R> use(model: StoredModel, task: (ShvitModel) -> R): R {
        if (model.manifest.task == Task.FEATURES) {
            throw UnsupportedDocument(
                "${model.stem} gives feature maps.",
                "Camera and photo show classes or objects.",
                "Choose another model. Benchmark and golden check run this one.",
            )
        }
        return loaded.use(
            model.manifest.artifact.sha256,
            { ShvitModel.named(context, model.stem, engines = ENGINES) },
            task,
        )
    }

    /** Copies and verifies a model's file, so that the measured load time covers only loading. */
    fun prepare(model: StoredModel) {
        cache.file(model)
    }

    /**
     * Runs a loaded model's golden check.
     *
     * @param reducedScale Whether large goldens are decoded at reduced scale.
     */
    fun check(goldens: GoldenFolder, model: ShvitModel, reducedScale: Boolean = false): GoldenCheck {
        val decoder = decoder(goldens.goldens.preprocessing, reducedScale)
        return goldens.check(decoder, model::pixels, model)
    }

    /**
     * Decodes a photo that another app provides.
     *
     * @param preprocessing The preprocessing of the model that will see it.
     * @throws ShvitException If it cannot be read, or is not an image.
     */
    fun picture(photo: Uri, preprocessing: Preprocessing): Picture {
        val encoded = try {
            context.contentResolver.openInputStream(photo)?.use { it.readBytes() }
        } catch (reason: IOException) {
            throw gone(reason)
        } catch (reason: SecurityException) {
            throw gone(reason)
        }
        return decoder(preprocessing, Models(context).reducedScale).decode(encoded ?: throw gone(null))
    }

    /** Returns what the report says besides the measurements of these models. */
    fun reportContext(measured: List<Manifest>): ReportContext {
        val version = context.packageManager.getPackageInfo(context.packageName, 0).versionName
        return ReportContext(
            created = SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ssXXX", Locale.ROOT).format(Date()),
            app = "SHViTDemo $version for Android",
            versions = ENGINES.versions(measured, phone.system),
            device = phone.device,
        )
    }

    private fun decoder(preprocessing: Preprocessing, reducedScale: Boolean) =
        BitmapDecoder(preprocessing.takeIf { reducedScale })

    private fun gone(reason: Exception?) = UndecodablePicture(
        "The photo cannot be read: ${reason?.message ?: "it no longer exists"}.",
        "The app that provided it may have revoked access.",
        "Choose the photo again.",
    )

    companion object {
        /** The runtimes that the app links. */
        val ENGINES = Engines(ExecuTorch, LiteRT)

        /** The one that all screens share: loaded models use the same number of threads. */
        private val loaded = LoadedModel<ShvitModel>()

        /** Runs a task that loads models itself, while no other model is loaded: it would disturb a measurement. */
        fun <R> alone(task: () -> R): R = loaded.alone(task)

        /** Frees the memory of the model, unless it is in use. */
        fun dropIdleModel() = loaded.dropIfIdle()
    }
}
