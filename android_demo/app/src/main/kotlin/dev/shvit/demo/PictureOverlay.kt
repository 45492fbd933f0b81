package dev.shvit.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View
import dev.shvit.Analysis
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.models.DetectedObject
import dev.shvit.core.models.Finding
import dev.shvit.core.screen.CameraGeometry
import dev.shvit.core.screen.PicturePlacement
import dev.shvit.core.screen.Rectangle

/** Frames the objects in a picture, and the part of it that the model sees, over a view that shows all of it. */
internal class PictureOverlay(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val frame = line(Color.WHITE)
    private val boxes = line(Color.YELLOW)
    private val behindLabels = Paint().apply { color = Color.YELLOW }
    private val labels = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        color = Color.BLACK
        textSize = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, LABEL_SP, resources.displayMetrics)
    }
    private var objects: List<DetectedObject> = emptyList()
    private var placement = PicturePlacement(1, 1)

    /** The model's preprocessing; null draws no frame around what the model sees. */
    var preprocessing: Preprocessing? = null
        set(value) {
            field = value
            invalidate()
        }

    /**
     * Draws the boxes of what a model found; none for classes.
     *
     * @param mirrored Whether the view shows the picture as a mirror does.
     */
    fun show(analysis: Analysis?, mirrored: Boolean = false) {
        objects = (analysis?.finding as? Finding.Objects)?.objects.orEmpty()
        if (analysis != null) placement = analysis.placement.copy(mirrored = mirrored)
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        preprocessing?.let { draw(canvas, CameraGeometry.crop(width, height, it), frame) }
        for (found in objects) {
            val place = placement.place(found.box, width, height)
            draw(canvas, place, boxes)
            label(canvas, context.formatScore(found.label, found.box.score.toDouble()), place)
        }
    }

    private fun draw(canvas: Canvas, place: Rectangle, paint: Paint) = canvas.drawRect(
        place.left.toFloat(),
        place.top.toFloat(),
        place.right.toFloat(),
        place.bottom.toFloat(),
        paint,
    )

    /** Draws a label in the upper left corner of a box, within the view. */
    private fun label(canvas: Canvas, text: String, place: Rectangle) {
        val left = place.left.toFloat().coerceAtMost(width - labels.measureText(text)).coerceAtLeast(0f)
        val bottom = (place.top.toFloat() + labels.textSize + labels.descent()).coerceAtMost(height.toFloat())
        val top = bottom - labels.textSize - labels.descent()
        canvas.drawRect(left, top, left + labels.measureText(text), bottom, behindLabels)
        canvas.drawText(text, left, bottom - labels.descent(), labels)
    }

    private fun line(tone: Int) = Paint().apply {
        style = Paint.Style.STROKE
        strokeWidth = LINE_DP * resources.displayMetrics.density
        color = tone
    }

    private companion object {
        const val LINE_DP = 2
        const val LABEL_SP = 12f
    }
}
