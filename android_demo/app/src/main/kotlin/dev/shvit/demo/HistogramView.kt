package dev.shvit.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View
import dev.shvit.core.measure.Latency
import dev.shvit.core.screen.HistogramPicture

/** A latency histogram with percentiles, and a description for screen readers. */
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

    /** The latencies to draw, in milliseconds. */
    var samples: List<Double> = emptyList()
        set(value) {
            field = value
            contentDescription = if (value.isEmpty()) null else describe(value)
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
        // Labels use two lines, since percentiles are often close to each other.
        for ((place, mark) in picture.marks.withIndex()) {
            val x = mark.x.toFloat()
            val name = context.getString(R.string.percentile, mark.share)
            canvas.drawLine(x, top, x, height - bottom, marks)
            canvas.drawText(name, within(x, name), (1 + place % 2) * 1.3f * text.textSize, text)
        }
        val (least, most) = formatter.milliseconds(picture.least) to formatter.milliseconds(picture.most)
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

    /** Returns where a label at `x` begins so that it fits the view. */
    private fun within(x: Float, name: String): Float =
        (x - text.measureText(name) / 2).coerceAtMost(width - text.measureText(name)).coerceAtLeast(0f)

    private fun describe(samples: List<Double>): String {
        val latency = Latency.of(samples)
        return context.getString(
            R.string.histogram,
            samples.size,
            formatter.milliseconds(latency.least),
            formatter.milliseconds(samples.max()),
            formatter.milliseconds(latency.p50),
        )
    }

    private fun pixels(unit: Int, value: Float) = TypedValue.applyDimension(unit, value, resources.displayMetrics)
}
