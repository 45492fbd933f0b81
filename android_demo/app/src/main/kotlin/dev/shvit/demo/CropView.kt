package dev.shvit.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.screen.CameraGeometry

/** Frames the part of the camera's picture that the model sees. */
internal class CropView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val line = Paint().apply {
        style = Paint.Style.STROKE
        strokeWidth = LINE_DP * resources.displayMetrics.density
        color = Color.WHITE
    }

    /** The model's preprocessing; null draws nothing. */
    var preprocessing: Preprocessing? = null
        set(value) {
            field = value
            invalidate()
        }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        val crop = CameraGeometry.crop(width, height, preprocessing ?: return)
        canvas.drawRect(crop.left.toFloat(), crop.top.toFloat(), crop.right.toFloat(), crop.bottom.toFloat(), line)
    }

    private companion object {
        const val LINE_DP = 2
    }
}
