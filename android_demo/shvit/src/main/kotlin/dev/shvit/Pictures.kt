package dev.shvit

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.media.ExifInterface
import android.media.Image
import dev.shvit.core.BadPicture
import dev.shvit.core.images.Frame
import dev.shvit.core.images.Orientation
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Plane
import dev.shvit.core.images.sampleSize
import dev.shvit.core.models.Decoder
import java.io.ByteArrayInputStream
import java.io.IOException

/**
 * Converts an upright bitmap to sRGB on white.
 *
 * @throws BadPicture If there is not enough memory for a copy that the processor can read.
 */
fun Bitmap.toPicture(): Picture {
    // A bitmap in graphics memory does not give its pixels.
    val readable = if (config == Bitmap.Config.HARDWARE) copy(Bitmap.Config.ARGB_8888, false) else this
    if (readable == null) throw BadPicture("The bitmap of $width x $height cannot be copied.", "It is too large.")
    val pixels = IntArray(width * height)
    readable.getPixels(pixels, 0, width, 0, 0, width, height)
    if (readable !== this) readable.recycle()
    return Picture.onWhite(width, height, pixels)
}

/**
 * Converts a camera frame in `YUV_420_888`. Copies its bytes, so that the image can be closed.
 *
 * @throws BadPicture If it has another format.
 */
fun Image.toFrame(): Frame {
    if (planes.size != YUV_PLANES) throw BadPicture("The frame has ${planes.size} planes.", "YUV_420_888 has three.")
    val (y, u, v) = planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
    return Frame(width, height, y, u, v)
}

/**
 * Android's decoder of JPEG, PNG, WebP and HEIF.
 *
 * @param pixels The maximum number of pixels; a larger picture is halved during decoding, since a phone's memory is
 *   limited.
 */
class BitmapDecoder(private val pixels: Long = 1L shl 24) : Decoder {
    /**
     * Decodes an image into an upright picture by its EXIF orientation.
     *
     * @throws BadPicture If Android cannot decode it.
     */
    override fun decode(encoded: ByteArray): Picture = trace("shvit decoding") {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeByteArray(encoded, 0, encoded.size, bounds)
        val options = BitmapFactory.Options().apply {
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inSampleSize = sampleSize(bounds.outWidth, bounds.outHeight, pixels)
        }
        val bitmap: Bitmap? = BitmapFactory.decodeByteArray(encoded, 0, encoded.size, options)
        if (bitmap == null) {
            throw BadPicture("Android cannot decode these ${encoded.size} bytes.", "JPEG and PNG always work.")
        }
        val picture = bitmap.toPicture()
        bitmap.recycle()
        orientation(encoded).upright(picture)
    }

    /** Returns the orientation; upright without valid EXIF data. */
    private fun orientation(encoded: ByteArray): Orientation = try {
        val exif = ExifInterface(ByteArrayInputStream(encoded))
        Orientation.fromExif(exif.getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL))
    } catch (_: IOException) {
        Orientation.UPRIGHT
    }
}

private const val YUV_PLANES = 3
