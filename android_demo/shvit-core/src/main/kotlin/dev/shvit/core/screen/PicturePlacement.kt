package dev.shvit.core.screen

import dev.shvit.core.detection.Box

/** A rectangle in a view, in pixels from the upper left corner. */
data class Rectangle(val left: Double, val top: Double, val right: Double, val bottom: Double)

/** How a picture is scaled to a view, with its aspect ratio, centered. */
enum class Scaling {
    /** The view shows all of the picture. */
    FIT,

    /** The picture covers all of the view, which cuts some of it off. */
    FILL,
}

/**
 * How a view shows a picture: it finds the place of a detected box on the screen.
 *
 * @property width The width of the upright picture in pixels; [height] likewise.
 * @property quarterTurns How often the view turns the upright picture clockwise by 90 degrees.
 * @property mirrored Whether the view shows what it has turned as a mirror does, left for right, as for a front camera.
 */
data class PicturePlacement(
    val width: Int,
    val height: Int,
    val scaling: Scaling = Scaling.FIT,
    val quarterTurns: Int = 0,
    val mirrored: Boolean = false,
) {
    /**
     * Returns where a box of the upright picture lies in a view. It may reach beyond the view with [Scaling.FILL].
     *
     * @param viewWidth The view's width in pixels; [viewHeight] likewise.
     */
    fun place(box: Box, viewWidth: Int, viewHeight: Int): Rectangle = place(
        Rectangle(box.left.toDouble(), box.top.toDouble(), box.right.toDouble(), box.bottom.toDouble()),
        viewWidth,
        viewHeight,
    )

    /** The same for any rectangle, in pixels of the picture. */
    fun place(part: Rectangle, viewWidth: Int, viewHeight: Int): Rectangle {
        val turned = quarterTurns % 2 != 0
        val shownWidth = if (turned) height else width
        val shownHeight = if (turned) width else height
        val xScale = viewWidth.toDouble() / shownWidth
        val yScale = viewHeight.toDouble() / shownHeight
        val scale = if (scaling == Scaling.FIT) minOf(xScale, yScale) else maxOf(xScale, yScale)
        val x = (viewWidth - shownWidth * scale) / 2
        val y = (viewHeight - shownHeight * scale) / 2
        val (oneX, oneY) = shown(part.left, part.top)
        val (otherX, otherY) = shown(part.right, part.bottom)
        return Rectangle(
            x + minOf(oneX, otherX) * scale,
            y + minOf(oneY, otherY) * scale,
            x + maxOf(oneX, otherX) * scale,
            y + maxOf(oneY, otherY) * scale,
        )
    }

    /** Returns the place of a point after turn and mirror, in pixels. */
    private fun shown(x: Double, y: Double): Pair<Double, Double> {
        val (shownX, shownY) = when (Math.floorMod(quarterTurns, 4)) {
            1 -> height - y to x
            2 -> width - x to height - y
            3 -> y to width - x
            else -> x to y
        }
        val shownWidth = if (quarterTurns % 2 != 0) height else width
        return (if (mirrored) shownWidth - shownX else shownX) to shownY
    }
}
