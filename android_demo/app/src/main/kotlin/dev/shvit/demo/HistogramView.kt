package dev.shvit.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View
import dev.shvit.core.measure.Latency
import dev.shvit.core.screen.HistogramPicture

/** A histogram of latencies with their percentiles; tells itself in words to a screen reader. */
internal class HistogramView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val bars = Paint().apply { color = context.getColor(R.color.histogram_bar) }
    private val marks = Paint().apply {
        color = context.getColor(R.color.histogram_mark)
        strokeWidth = pixels(TypedValue.COMPLEX_UNIT_DIP, 1.5f)
    }
    private val text = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        color = context.getColor(R.color.histogram_text)
        textSize = pixels(TypedValue.COMPLEX_UNIT_SP, 12f)
    }
    private var picture: HistogramPicture? = null

    /** What is drawn, in milliseconds. */
    var samples: List<Double> = emptyList()
        set(value) {
            field = value
            contentDescription = if (value.isEmpty()) null else told(value)
            arrange(width, height)
            invalidate()
        }

    override fun onSizeChanged(width: Int, height: Int, oldWidth: Int, oldHeight: Int) = arrange(width, height)

    override fun onDraw(canvas: Canvas) {
        val picture = picture ?: return
        val top = 3 * text.textSize
        canvas.save()
        canvas.translate(0f, top)
        for ((left, upper, right, lower) in picture.bars) {
            canvas.drawRect(left.toFloat(), upper.toFloat(), right.toFloat(), lower.toFloat(), bars)
        }
        canvas.restore()
        // The names stand in two lines, since percentiles often stand close.
        for ((place, mark) in picture.marks.withIndex()) {
            val x = mark.x.toFloat()
            val name = context.getString(R.string.percentile, mark.share)
            canvas.drawLine(x, top, x, height - bottom, marks)
            canvas.drawText(name, within(x, name), (1 + place % 2) * 1.3f * text.textSize, text)
        }
        val (least, most) = figures.milliseconds(picture.least) to figures.milliseconds(picture.most)
        canvas.drawText(least, 0f, height - text.descent(), text)
        canvas.drawText(most, width - text.measureText(most), height - text.descent(), text)
    }

    private val bottom get() = 1.5f * text.textSize

    private fun arrange(width: Int, height: Int) {
        val room = height - 3 * text.textSize - bottom
        picture = if (samples.isEmpty() || width == 0 || room <= 0) null else {
            HistogramPicture.of(samples, width.toDouble(), room.toDouble())
        }
    }

    /** Where a name at `x` begins, so that it is wholly inside. */
    private fun within(x: Float, name: String): Float =
        (x - text.measureText(name) / 2).coerceAtMost(width - text.measureText(name)).coerceAtLeast(0f)

    private fun told(samples: List<Double>): String {
        val latency = Latency.of(samples)
        return context.getString(
            R.string.histogram,
            samples.size,
            figures.milliseconds(latency.least),
            figures.milliseconds(samples.max()),
            figures.milliseconds(latency.p50),
        )
    }

    private fun pixels(unit: Int, value: Float) = TypedValue.applyDimension(unit, value, resources.displayMetrics)
}
