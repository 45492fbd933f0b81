package dev.shvit.demo

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.graphics.Matrix
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.hardware.display.DisplayManager
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import android.view.Surface
import android.view.TextureView
import dev.shvit.core.screen.CameraGeometry
import dev.shvit.core.screen.CameraGeometry.Size
import dev.shvit.core.screen.CameraUse

/**
 * A camera that shows its preview in a view and delivers frames, one at a time, always the latest.
 *
 * Use it on the main thread, once, after the permission is granted.
 *
 * @param frames Receives a frame and its clockwise rotation in degrees, on a thread of the feed. The feed closes the
 *   frame afterwards.
 * @param failed Receives the reason why there are no frames.
 */
internal class CameraFeed(
    private val context: Context,
    private val view: TextureView,
    private val frames: (Image, Int) -> Unit,
    private val failed: (String) -> Unit,
) {
    private val main = Handler(Looper.getMainLooper())
    private val thread = HandlerThread("frames").apply { start() }
    private val worker = Handler(thread.looper)
    private val use = CameraUse(CameraDevice::close)
    private var reader: ImageReader? = null
    private var preview: Surface? = null
    private var found: Found? = null

    /** Detects a rotation by 180 degrees, which no layout change reports. */
    private val turned = object : DisplayManager.DisplayListener {
        override fun onDisplayAdded(display: Int) = Unit

        override fun onDisplayRemoved(display: Int) = Unit

        override fun onDisplayChanged(display: Int) = fit()
    }

    /** A camera and its properties. */
    private class Found(val id: String, val sensor: Int, val front: Boolean, val shown: Size, val analyzed: Size)

    fun start() {
        context.getSystemService(DisplayManager::class.java).registerDisplayListener(turned, main)
        if (view.isAvailable) open()
        view.surfaceTextureListener = object : TextureView.SurfaceTextureListener {
            override fun onSurfaceTextureAvailable(surface: SurfaceTexture, width: Int, height: Int) = open()

            override fun onSurfaceTextureSizeChanged(surface: SurfaceTexture, width: Int, height: Int) = fit()

            override fun onSurfaceTextureDestroyed(surface: SurfaceTexture): Boolean = true

            override fun onSurfaceTextureUpdated(surface: SurfaceTexture) = Unit
        }
    }

    /** Releases the camera, and the reader after the current frame. */
    fun stop() {
        context.getSystemService(DisplayManager::class.java).unregisterDisplayListener(turned)
        view.surfaceTextureListener = null
        use.stop()
        preview?.release()
        val reader = reader
        worker.post { reader?.close() }
        thread.quitSafely()
    }

    // The activity has requested the permission before.
    @SuppressLint("MissingPermission")
    private fun open() {
        if (!use.begin()) return
        val manager = context.getSystemService(CameraManager::class.java)
        try {
            val found = find(manager) ?: return failed(context.getString(R.string.camera_missing))
            this.found = found
            fit()
            manager.openCamera(found.id, Opening(found), main)
        } catch (reason: CameraAccessException) {
            failed(describe(reason))
        } catch (_: SecurityException) {
            failed(context.getString(R.string.camera_denied))
        } catch (_: IllegalArgumentException) {
            // The camera was disconnected after it was listed.
            failed(describe(R.string.camera_disconnected))
        }
    }

    /** Returns the first back camera, or the first camera of any kind if there is none. */
    private fun find(manager: CameraManager): Found? {
        val all = manager.cameraIdList.mapNotNull { id -> described(id, manager.getCameraCharacteristics(id)) }
        return all.firstOrNull { !it.front } ?: all.firstOrNull()
    }

    private fun described(id: String, about: CameraCharacteristics): Found? {
        val sizes = about.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP) ?: return null
        val shown = sizes.getOutputSizes(SurfaceTexture::class.java).orEmpty().map { Size(it.width, it.height) }
        val analyzed = sizes.getOutputSizes(ImageFormat.YUV_420_888).orEmpty().map { Size(it.width, it.height) }
        return Found(
            id,
            about.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0,
            about.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_FRONT,
            CameraGeometry.chooseSize(shown, SHOWN) ?: return null,
            CameraGeometry.chooseSize(analyzed, ANALYZED) ?: return null,
        )
    }

    private inner class Opening(private val found: Found) : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            if (!use.opened(camera)) return
            try {
                run(camera, found)
            } catch (reason: CameraAccessException) {
                lose(camera, describe(reason))
            } catch (_: IllegalStateException) {
                // The feed was stopped while the camera opened.
                lose(camera, describe(R.string.camera_disconnected))
            }
        }

        override fun onDisconnected(camera: CameraDevice) = lose(camera, describe(R.string.camera_disconnected))

        override fun onError(camera: CameraDevice, error: Int) = lose(camera, describe(R.string.camera_error))

        private fun lose(camera: CameraDevice, words: String) {
            if (use.lost(camera)) failed(words)
        }
    }

    // The session configuration object requires Android 9.
    @Suppress("DEPRECATION")
    private fun run(camera: CameraDevice, found: Found) {
        val texture = view.surfaceTexture ?: return
        texture.setDefaultBufferSize(found.shown.width, found.shown.height)
        val preview = Surface(texture)
        this.preview = preview
        val reader = ImageReader.newInstance(found.analyzed.width, found.analyzed.height, ImageFormat.YUV_420_888, 2)
        this.reader = reader
        reader.setOnImageAvailableListener({ source ->
            val clockwise = CameraGeometry.upright(found.sensor, display(), found.front)
            source.acquireLatestImage()?.use { frames(it, clockwise) }
        }, worker)
        val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
        request.addTarget(preview)
        request.addTarget(reader.surface)
        request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
        camera.createCaptureSession(listOf(preview, reader.surface), Running(request.build()), main)
    }

    private inner class Running(private val request: CaptureRequest) : CameraCaptureSession.StateCallback() {
        override fun onConfigured(session: CameraCaptureSession) {
            if (!use.running) return
            try {
                session.setRepeatingRequest(request, null, main)
            } catch (reason: CameraAccessException) {
                failed(describe(reason))
            } catch (_: IllegalStateException) {
                // The camera was lost in the meantime; onDisconnected reports that.
            }
        }

        override fun onConfigureFailed(session: CameraCaptureSession) {
            if (use.running) failed(describe(R.string.camera_error))
        }
    }

    /** Rotates and scales the view's content so that it is upright, keeps its aspect ratio and fills the view. */
    private fun fit() {
        val found = found ?: return
        if (view.width == 0 || view.height == 0) return
        val fit = CameraGeometry.fit(Size(view.width, view.height), found.shown, found.sensor, display())
        val (x, y) = view.width / 2f to view.height / 2f
        val matrix = Matrix()
        matrix.postScale(fit.scaleX.toFloat(), fit.scaleY.toFloat(), x, y)
        matrix.postRotate(fit.degrees.toFloat(), x, y)
        matrix.postScale(fit.zoom.toFloat(), fit.zoom.toFloat(), x, y)
        view.setTransform(matrix)
    }

    /** Returns the display's rotation in degrees. */
    private fun display(): Int = when (view.display?.rotation) {
        Surface.ROTATION_90 -> 90
        Surface.ROTATION_180 -> 180
        Surface.ROTATION_270 -> 270
        else -> 0
    }

    private fun describe(why: Int): String = context.getString(R.string.camera_failed, context.getString(why))

    private fun describe(reason: CameraAccessException): String = describe(
        when (reason.reason) {
            CameraAccessException.CAMERA_IN_USE, CameraAccessException.MAX_CAMERAS_IN_USE -> R.string.camera_in_use
            CameraAccessException.CAMERA_DISABLED -> R.string.camera_disabled
            CameraAccessException.CAMERA_DISCONNECTED -> R.string.camera_disconnected
            else -> R.string.camera_error
        },
    )

    private companion object {
        /** The minimum of the preview's shorter side, in pixels. */
        const val SHOWN = 720

        /** The minimum of the analyzed frames' shorter side, in pixels: twice what most models need. */
        const val ANALYZED = 480
    }
}
