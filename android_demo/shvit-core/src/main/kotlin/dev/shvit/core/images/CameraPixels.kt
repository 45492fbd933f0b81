package dev.shvit.core.images

import dev.shvit.core.ShvitException.UnsupportedInput

/** A part of a frame, in pixels in memory; the right and lower edges are the first ones outside. */
data class Part(val left: Int, val top: Int, val right: Int, val bottom: Int)

/**
 * Returns the pixels of a camera's frame. It reads the camera's buffers, so use it while these are valid.
 *
 * @param format Android's number of the format: `ImageFormat.YUV_420_888` or `PixelFormat.RGBA_8888`.
 * @param planes The planes, in Android's order.
 * @param part The part to use (default: all). In YUV its corner moves up and left to an even pixel, where the pixel's
 *   chroma begins.
 * @throws UnsupportedInput If it has another format, or the planes or the part do not fit the frame.
 */
fun cameraPixels(
    format: Int,
    width: Int,
    height: Int,
    planes: List<Plane>,
    part: Part = Part(0, 0, width, height),
): PixelSource {
    val (left, top, right, bottom) = part
    if (left < 0 || top < 0 || right > width || bottom > height || left >= right || top >= bottom) {
        throw UnsupportedInput("$part is not a part of a frame of $width x $height.", "It needs at least one pixel.")
    }
    return when (format) {
        YUV_420_888 -> {
            // The corner of a 2 x 2 block, which shares its chroma.
            val (column, row) = left / 2 * 2 to top / 2 * 2
            val chosen = planes.mapIndexed { index, plane ->
                if (index == 0) plane.from(row, column) else plane.from(row / 2, column / 2)
            }
            Frame(right - column, bottom - row, chosen)
        }
        RGBA_8888 -> {
            val plane = planes.singleOrNull()
                ?: throw UnsupportedInput("The frame has ${planes.size} planes.", "RGBA_8888 has one.")
            RgbaPixels(right - left, bottom - top, plane.from(top, left).bytes, plane.rowStride)
        }
        else -> throw UnsupportedInput(
            "The frame has the format $format.",
            "Formats: $YUV_420_888 (YUV_420_888) and $RGBA_8888 (RGBA_8888).",
        )
    }
}

/** Returns the plane from a sample on. */
private fun Plane.from(row: Int, column: Int): Plane {
    val skipped = row * rowStride + column * pixelStride
    if (skipped == 0) return this
    val bytes = bytes.duplicate()
    if (skipped > bytes.remaining()) {
        throw UnsupportedInput("A plane of the frame has ${bytes.remaining()} bytes.", "Its part begins after $skipped.")
    }
    bytes.position(bytes.position() + skipped)
    return Plane(bytes, rowStride, pixelStride)
}

private const val YUV_420_888 = 35
private const val RGBA_8888 = 1
