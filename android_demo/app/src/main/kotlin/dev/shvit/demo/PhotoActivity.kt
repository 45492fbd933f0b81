package dev.shvit.demo

import android.content.ActivityNotFoundException
import android.content.Context
import android.content.Intent
import android.graphics.Bitmap
import android.net.Uri
import android.os.Bundle
import android.provider.MediaStore
import android.view.View
import android.widget.CheckBox
import android.widget.ImageView
import android.widget.TextView
import dev.shvit.Analysis
import dev.shvit.core.images.Picture

/** Shows what the chosen model finds in a photo. */
internal class PhotoActivity : WorkActivity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.photo)
        view<View>(R.id.choose).setOnClickListener { choose() }
        view<CheckBox>(R.id.reduced_scale).apply {
            isChecked = Models(context).reducedScale
            setOnCheckedChangeListener { _, allowed -> Models(context).reducedScale = allowed }
        }
        (work as? PhotoNaming)?.watch(::show)
        if (savedInstanceState == null) choose()
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        super.onActivityResult(requestCode, resultCode, data)
        val photo = data?.data
        if (resultCode == RESULT_OK && photo != null) begin(PhotoNaming(applicationContext, photo), ::show)
    }

    /** Opens the photo picker, which needs no permission, or another app that opens images if there is none. */
    private fun choose() {
        val pickers = listOf(
            Intent(MediaStore.ACTION_PICK_IMAGES).setType(PICTURES),
            Intent(Intent.ACTION_GET_CONTENT).setType(PICTURES).addCategory(Intent.CATEGORY_OPENABLE),
        )
        if (pickers.none(::started)) view<TextView>(R.id.status).setText(R.string.no_picker)
    }

    private fun started(picker: Intent): Boolean = try {
        startActivityForResult(picker, PHOTO)
        true
    } catch (_: ActivityNotFoundException) {
        false
    }

    private fun show(state: PhotoNaming.State) {
        view<TextView>(R.id.status).text = state.words
        view<ImageView>(R.id.picture).setImageBitmap(state.picture)
        val seen = state.seen
        view<TextView>(R.id.predictions).text = seen?.let { formatFinding(it.finding) }.orEmpty()
        view<TextView>(R.id.latency).text = seen?.let { latency(it, it.inferenceMs) }.orEmpty()
        view<PictureOverlay>(R.id.overlay).show(seen)
    }

    private companion object {
        const val PHOTO = 1
        const val PICTURES = "image/*"
    }
}

/** The analysis of one photo. */
internal class PhotoNaming(private val context: Context, private val photo: Uri) :
    Work<PhotoNaming.State>(State(context.getString(R.string.reading_photo))) {

    class State(val words: String, val picture: Bitmap? = null, val seen: Analysis? = null)

    override fun run(): State {
        val library = Library(context)
        val model = Models(context).chosen()
        val picture = library.picture(photo, model.manifest.preprocessing)
        val shown = toBitmap(picture)
        tell(State(context.getString(R.string.loading_model), shown))
        val scale = if (picture.reduction == 1) "" else "\n" + context.getString(R.string.reduced, picture.reduction)
        return State(model.stem + scale, shown, library.use(model) { it.analyze(picture) })
    }

    override fun failed(reason: Throwable) = State(context.words(reason))

    /** Returns a smaller bitmap for the screen: views reject bitmaps of a photo's full size. */
    private fun toBitmap(picture: Picture): Bitmap {
        val step = (maxOf(picture.width, picture.height) + LONGEST - 1) / LONGEST
        val (width, height) = maxOf(picture.width / step, 1) to maxOf(picture.height / step, 1)
        val pixels = IntArray(width * height) { place ->
            OPAQUE or picture.pixels[place / width * step * picture.width + place % width * step]
        }
        return Bitmap.createBitmap(pixels, width, height, Bitmap.Config.ARGB_8888)
    }

    private companion object {
        /** The longer side of the shown bitmap, in pixels. */
        const val LONGEST = 1024
        const val OPAQUE = 0xFF shl 24
    }
}
