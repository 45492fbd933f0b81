package dev.shvit.core.screen

import kotlin.math.abs

/** The geometry of camera pictures on a phone in any orientation. Degrees are clockwise. */
object CameraGeometry {
    /** Width and height, in pixels. */
    data class Size(val width: Int, val height: Int)

    /**
     * The transformation of a camera picture that was stretched over a view: around the center, scale each axis,
     * rotate, then scale both.
     */
    data class Fit(val scaleX: Double, val scaleY: Double, val degrees: Int, val zoom: Double)

    /**
     * Returns the rotation that makes a picture upright on the display.
     *
     * @param sensor The rotation of the sensor's picture from the phone's natural position.
     * @param display The rotation of the display from it.
     * @param front Whether the camera faces the person who looks at the display.
     */
    fun upright(sensor: Int, display: Int, front: Boolean): Int =
        Math.floorMod(if (front) sensor + display else sensor - display, 360)

    /**
     * Returns the smallest size whose shorter side has at least [shorter] pixels, preferably 4:3, which covers the
     * whole sensor; the largest if all are smaller; null if there is none.
     */
    fun chooseSize(sizes: List<Size>, shorter: Int): Size? {
        val whole = sizes.filter { abs(it.width * 3 - it.height * 4) <= 4 }.ifEmpty { sizes }
        val enough = whole.filter { minOf(it.width, it.height) >= shorter }
        return enough.minByOrNull(::area) ?: whole.maxByOrNull(::area)
    }

    /**
     * Returns the transformation that fills a view with the upright picture in its aspect ratio.
     *
     * @param view The view's size.
     * @param picture The size that the camera delivers.
     */
    fun fit(view: Size, picture: Size, sensor: Int, display: Int): Fit {
        // Android rotates the picture by the sensor's angle, as if the display were in its natural position.
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
