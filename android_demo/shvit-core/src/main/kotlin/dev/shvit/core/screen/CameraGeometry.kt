package dev.shvit.core.screen

import kotlin.math.abs

/** How a camera's pictures fit a phone that is held in some way. Degrees are clockwise. */
object CameraGeometry {
    /** Width and height, in pixels. */
    data class Size(val width: Int, val height: Int)

    /**
     * What to do to a camera's picture in a view that stretched it over itself: about the middle, scale each axis,
     * turn, then scale both.
     */
    data class Fit(val scaleX: Double, val scaleY: Double, val degrees: Int, val zoom: Double)

    /**
     * By how much a picture is turned to be upright on the display.
     *
     * @param sensor how far the sensor's picture is turned from the phone's natural position.
     * @param display how far the display is turned from it.
     * @param front whether the camera looks at whom the display looks at.
     */
    fun upright(sensor: Int, display: Int, front: Boolean): Int =
        Math.floorMod(if (front) sensor + display else sensor - display, 360)

    /**
     * The smallest size of at least [shorter] pixels on its shorter side, of 4:3 where there is one, which is all that
     * the sensor sees; the largest where all are smaller, and null where there is none.
     */
    fun chosen(sizes: List<Size>, shorter: Int): Size? {
        val whole = sizes.filter { abs(it.width * 3 - it.height * 4) <= 4 }.ifEmpty { sizes }
        val enough = whole.filter { minOf(it.width, it.height) >= shorter }
        return enough.minByOrNull(::area) ?: whole.maxByOrNull(::area)
    }

    /**
     * The fit that fills a view with the picture, upright and in its own proportions.
     *
     * @param view of the view; [picture] of what the camera delivers.
     */
    fun fit(view: Size, picture: Size, sensor: Int, display: Int): Fit {
        // Android turns the picture by the sensor's angle, as if the display were in its natural position.
        val natural = if (sensor % 180 == 0) picture else Size(picture.height, picture.width)
        val shown = if (display % 180 == 0) natural else Size(natural.height, natural.width)
        return Fit(
            natural.width.toDouble() / view.width,
            natural.height.toDouble() / view.height,
            Math.floorMod(-display, 360),
            maxOf(view.width.toDouble() / shown.width, view.height.toDouble() / shown.height),
        )
    }

    private fun area(size: Size): Long = size.width.toLong() * size.height
}
