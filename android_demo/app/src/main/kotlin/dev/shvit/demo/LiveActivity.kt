package dev.shvit.demo

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.os.Bundle
import android.provider.Settings
import android.view.Menu
import android.view.MenuItem
import android.view.View
import android.widget.Button
import android.widget.TextView
import androidx.camera.core.ImageProxy
import dev.shvit.Analysis
import dev.shvit.camerax.FrameAnalyzer
import dev.shvit.camerax.analyze
import dev.shvit.core.measure.RecentLatency
import dev.shvit.core.models.StoredModel

/** Shows what the chosen model finds in what the camera sees, and the latency. */
internal class LiveActivity : Activity() {
    private lateinit var status: TextView
    private lateinit var mend: Button
    private var feed: CameraFeed? = null
    private var naming: Naming? = null
    private var asked = false

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.live)
        status = view(R.id.status)
        mend = view(R.id.mend)
        asked = savedInstanceState?.getBoolean(ASKED) ?: false
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putBoolean(ASKED, asked)
    }

    override fun onResume() {
        super.onResume()
        when {
            allowed() -> look()
            asked -> tellDenied()
            else -> ask()
        }
    }

    override fun onPause() {
        feed?.stop()
        feed = null
        naming = null
        super.onPause()
    }

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        // While the camera runs, the next frame would load it again.
        if (feed == null) Library.dropIdleModel()
    }

    override fun onCreateOptionsMenu(menu: Menu): Boolean {
        menuInflater.inflate(R.menu.live, menu)
        return true
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        val screen = when (item.itemId) {
            R.id.photo -> PhotoActivity::class.java
            R.id.models -> ModelsActivity::class.java
            R.id.benchmark -> BenchmarkActivity::class.java
            R.id.check -> CheckActivity::class.java
            else -> return super.onOptionsItemSelected(item)
        }
        startActivity(Intent(this, screen))
        return true
    }

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<String>, grantResults: IntArray) {
        super.onRequestPermissionsResult(requestCode, permissions, grantResults)
        // The screen resumes after the request and checks the permission then. An empty result means the request was
        // interrupted.
        if (grantResults.isNotEmpty()) asked = true
    }

    private fun allowed() = checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

    private fun ask() = requestPermissions(arrayOf(Manifest.permission.CAMERA), QUESTION)

    /**
     * Explains the missing permission. Android only asks again while it recommends a rationale; after that, only the
     * settings help.
     */
    private fun tellDenied() {
        val mayAsk = shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)
        status.setText(R.string.camera_denied)
        mend.visibility = View.VISIBLE
        mend.setText(if (mayAsk) R.string.allow_camera else R.string.open_settings)
        mend.setOnClickListener { if (mayAsk) ask() else openSettings() }
    }

    private fun openSettings() =
        startActivity(Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null)))

    private fun look() {
        mend.visibility = View.GONE
        status.setText(R.string.waiting_for_camera)
        val naming = Naming()
        this.naming = naming
        val analyzer = FrameAnalyzer(naming::name, naming::tell)
        feed = CameraFeed(this, view(R.id.preview), analyzer, status::setText).also { it.start() }
    }

    private fun show(seen: Analysis, title: String, inferenceMs: Double) {
        status.text = title
        view<TextView>(R.id.predictions).text = formatFinding(seen.finding)
        view<TextView>(R.id.latency).text = latency(seen, inferenceMs)
        view<PictureOverlay>(R.id.overlay).show(seen, mirrored = feed?.mirrored == true)
    }

    /** The chosen model while the camera runs. Everything runs on the frames' thread. */
    private inner class Naming {
        private val library = Library(applicationContext)
        private val latency = RecentLatency()
        private var model: StoredModel? = null

        fun name(image: ImageProxy): Analysis {
            val model = ready()
            return library.use(model) { it.analyze(image) }
        }

        fun tell(seen: Result<Analysis>) = seen.fold(
            { analysis ->
                val median = latency.add(analysis.inferenceMs)
                onScreen { show(analysis, model?.stem.orEmpty(), median) }
            },
            { reason ->
                log(reason)
                onScreen { status.text = words(reason) }
            },
        )

        /** Chooses the model at the first frame. */
        private fun ready(): StoredModel = model ?: run {
            onScreen { status.setText(R.string.loading_model) }
            Models(applicationContext).chosen().also {
                model = it
                onScreen { view<PictureOverlay>(R.id.overlay).preprocessing = it.manifest.preprocessing }
            }
        }

        /** Updates the screen, unless it was left. */
        private fun onScreen(show: () -> Unit) = runOnUiThread { if (naming === this) show() }
    }

    private companion object {
        const val ASKED = "asked"
        const val QUESTION = 1
    }
}
