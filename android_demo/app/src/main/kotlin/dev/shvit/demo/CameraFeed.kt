package dev.shvit.demo

import android.content.Context
import android.hardware.display.DisplayManager
import android.os.Handler
import android.os.Looper
import android.view.Surface
import android.view.View
import androidx.camera.core.CameraInfoUnavailableException
import androidx.camera.core.CameraSelector
import androidx.camera.core.CameraState
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.Preview
import androidx.camera.core.UseCaseGroup
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.view.PreviewView
import androidx.lifecycle.Lifecycle
import androidx.lifecycle.LifecycleOwner
import androidx.lifecycle.LifecycleRegistry
import androidx.lifecycle.Observer
import com.google.common.util.concurrent.ListenableFuture
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executor
import java.util.concurrent.Executors

/**
 * A camera that shows its preview in a view, and gives the part of each frame that the view shows to an analyzer: always
 * the latest frame, on a thread of the feed.
 *
 * Use it on the main thread, once, after the permission is granted. CameraX opens the camera, opens it again after
 * another app took it, and closes it at [stop].
 *
 * @param failed Receives the reason why there are no frames.
 */
internal class CameraFeed(
    private val context: Context,
    private val view: PreviewView,
    private val analyzer: ImageAnalysis.Analyzer,
    private val failed: (String) -> Unit,
) : LifecycleOwner {
    private val registry = LifecycleRegistry(this)
    private val main = Handler(Looper.getMainLooper())
    private val worker = Executors.newSingleThreadExecutor { Thread(it, "frames") }
    private var provider: ProcessCameraProvider? = null
    private var bound: Shown? = null

    /** Whether the preview shows the picture as a mirror does: that of a front camera. */
    var mirrored: Boolean = false
        private set

    /** From [start] to [stop]: CameraX uses the camera as long. */
    override val lifecycle: Lifecycle get() = registry

    /** What the view shows: with another size or rotation, another part of the frame. */
    private data class Shown(val width: Int, val height: Int, val rotation: Int)

    private val resized = View.OnLayoutChangeListener { _, _, _, _, _, _, _, _, _ -> bind() }

    /** Detects a rotation by 180 degrees, which no layout change reports. */
    private val turned = object : DisplayManager.DisplayListener {
        override fun onDisplayAdded(display: Int) = Unit

        override fun onDisplayRemoved(display: Int) = Unit

        override fun onDisplayChanged(display: Int) = bind()
    }

    private val watcher = Observer<CameraState> { state -> state.error?.let { failed(describe(it.code)) } }

    fun start() {
        registry.currentState = Lifecycle.State.RESUMED
        view.addOnLayoutChangeListener(resized)
        context.getSystemService(DisplayManager::class.java).registerDisplayListener(turned, main)
        val coming = ProcessCameraProvider.getInstance(context)
        coming.addListener({ take(coming) }, Executor { main.post(it) })
    }

    /** Closes the camera, and ends the thread after the current frame. */
    fun stop() {
        context.getSystemService(DisplayManager::class.java).unregisterDisplayListener(turned)
        view.removeOnLayoutChangeListener(resized)
        registry.currentState = Lifecycle.State.DESTROYED
        worker.shutdown()
    }

    private fun take(coming: ListenableFuture<ProcessCameraProvider>) {
        try {
            provider = coming.get()
        } catch (reason: ExecutionException) {
            log(reason)
            return failed(words(R.string.camera_error))
        }
        bind()
    }

    /** Binds the camera to the view and the analyzer, once both are there, and again when the view changes. */
    private fun bind() {
        val provider = provider ?: return
        // Null before the view is laid out.
        val port = view.viewPort ?: return
        val shown = Shown(view.width, view.height, view.display?.rotation ?: Surface.ROTATION_0)
        if (shown == bound || registry.currentState == Lifecycle.State.DESTROYED) return
        provider.unbindAll()
        try {
            val camera = choose(provider) ?: return failed(context.getString(R.string.camera_missing))
            val preview = Preview.Builder().setTargetRotation(shown.rotation).build()
            preview.setSurfaceProvider(view.surfaceProvider)
            mirrored = camera == CameraSelector.DEFAULT_FRONT_CAMERA
            val analysis = ImageAnalysis.Builder()
                .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                .setTargetRotation(shown.rotation)
                .build()
            analysis.setAnalyzer(worker, analyzer)
            val group = UseCaseGroup.Builder().setViewPort(port).addUseCase(preview).addUseCase(analysis).build()
            provider.bindToLifecycle(this, camera, group).cameraInfo.cameraState.observe(this, watcher)
            bound = shown
        } catch (reason: CameraInfoUnavailableException) {
            log(reason)
            failed(words(R.string.camera_error))
        } catch (reason: IllegalArgumentException) {
            // The camera was disconnected after it was listed.
            log(reason)
            failed(words(R.string.camera_disconnected))
        }
    }

    /** Returns the back camera, or the front camera if there is none. */
    private fun choose(provider: ProcessCameraProvider): CameraSelector? =
        listOf(CameraSelector.DEFAULT_BACK_CAMERA, CameraSelector.DEFAULT_FRONT_CAMERA).firstOrNull(provider::hasCamera)

    private fun describe(error: Int): String = words(
        when (error) {
            CameraState.ERROR_CAMERA_IN_USE, CameraState.ERROR_MAX_CAMERAS_IN_USE -> R.string.camera_in_use
            CameraState.ERROR_CAMERA_DISABLED, CameraState.ERROR_DO_NOT_DISTURB_MODE_ENABLED -> R.string.camera_disabled
            CameraState.ERROR_CAMERA_REMOVED -> R.string.camera_disconnected
            else -> R.string.camera_error
        },
    )

    private fun words(why: Int): String = context.getString(R.string.camera_failed, context.getString(why))
}
