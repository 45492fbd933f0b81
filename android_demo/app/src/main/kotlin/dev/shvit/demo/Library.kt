package dev.shvit.demo

import android.content.Context
import android.net.Uri
import dev.shvit.AndroidPhone
import dev.shvit.BitmapDecoder
import dev.shvit.ShvitClassifier
import dev.shvit.core.BadPicture
import dev.shvit.core.ShvitException
import dev.shvit.core.documents.GoldenCheck
import dev.shvit.core.documents.Manifest
import dev.shvit.core.images.Picture
import dev.shvit.core.measure.Occasion
import dev.shvit.core.models.ArtifactCache
import dev.shvit.core.models.GoldenFolder
import dev.shvit.core.models.StoredModel
import dev.shvit.core.models.versionsOf
import java.io.IOException
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale

/** The library as this app uses it; off the main thread, but for what the phone tells. */
internal class Library(private val context: Context) {
    val phone = AndroidPhone(context)
    private val cache = ArtifactCache(context.filesDir.resolve("models"))
    private val decoder = BitmapDecoder()

    /** Loads a model, on as many threads as ExecuTorch holds best unless told. */
    fun classifier(model: StoredModel, threads: Int = 0): ShvitClassifier = ShvitClassifier.load(model, cache, threads)

    /** Makes a model's file ready, so that loading it later takes no longer than loading takes. */
    fun prepare(model: StoredModel) {
        cache.file(model)
    }

    /** Deletes the files of models that an update of the app has taken away. */
    fun keepOnly(models: List<StoredModel>) = cache.keepOnly(models)

    /** Checks a loaded model against its goldens. */
    fun check(goldens: GoldenFolder, classifier: ShvitClassifier): GoldenCheck =
        goldens.check(decoder, classifier::pixels, classifier)

    /**
     * A photo that another app gave.
     *
     * @throws ShvitException it cannot be read, or is none.
     */
    fun picture(photo: Uri): Picture {
        val encoded = try {
            context.contentResolver.openInputStream(photo)?.use { it.readBytes() }
        } catch (reason: IOException) {
            throw gone(reason)
        } catch (reason: SecurityException) {
            throw gone(reason)
        }
        return decoder.decoded(encoded ?: throw gone(null))
    }

    /** What a report says besides the measurements of these models. */
    fun occasion(measured: List<Manifest>): Occasion {
        val version = context.packageManager.getPackageInfo(context.packageName, 0).versionName
        return Occasion(
            created = SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ssXXX", Locale.ROOT).format(Date()),
            app = "SHViTDemo $version for Android",
            versions = versionsOf(measured, ShvitClassifier.executorch, phone.system),
            device = phone.device,
        )
    }

    private fun gone(reason: Exception?) = BadPicture(
        "The photo cannot be read: ${reason?.message ?: "it is no longer there"}.",
        "The app that gave it may have taken it back.",
        "Choose it again.",
    )
}
