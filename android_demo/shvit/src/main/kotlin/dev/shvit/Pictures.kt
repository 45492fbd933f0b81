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
 * An upright bitmap as a picture: in sRGB, transparency laid on white.
 *
 * @throws BadPicture there is no memory for a copy that the processor can read.
 */
fun Bitmap.picture(): Picture {
    // A bitmap of the graphics memory gives no pixels.
    val readable = if (config == Bitmap.Config.HARDWARE) copy(Bitmap.Config.ARGB_8888, false) else this
    if (readable == null) throw BadPicture("The bitmap of $width x $height cannot be copied.", "It is too large.")
    val pixels = IntArray(width * height)
    readable.getPixels(pixels, 0, width, 0, 0, width, height)
    if (readable !== this) readable.recycle()
    return Picture.onWhite(width, height, pixels)
}

/**
 * A camera's frame, of the format `YUV_420_888`; its bytes are copied, so that the image can be closed.
 *
 * @throws BadPicture it is of another format.
 */
fun Image.frame(): Frame {
    if (planes.size != YUV_PLANES) throw BadPicture("The frame has ${planes.size} planes.", "YUV_420_888 has three.")
    val (y, u, v) = planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
    return Frame(width, height, y, u, v)
}

/**
 * Android's own decoder of JPEG, PNG, WebP and HEIF.
 *
 * @param pixels a larger picture is halved while it is decoded, until it has no more: a phone's memory is limited.
 */
class BitmapDecoder(private val pixels: Long = 1L shl 24) : Decoder {
    /**
     * The picture, upright by its EXIF.
     *
     * @throws BadPicture it is none that Android can decode.
     */
    override fun decoded(encoded: ByteArray): Picture = traced("shvit decoding") {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeByteArray(encoded, 0, encoded.size, bounds)
        val options = BitmapFactory.Options().apply {
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inSampleSize = sampleSize(bounds.outWidth, bounds.outHeight, pixels)
        }
        val bitmap: Bitmap? = BitmapFactory.decodeByteArray(encoded, 0, encoded.size, options)
        if (bitmap == null) {
            throw BadPicture("${encoded.size} bytes are no picture that Android can decode.", "JPEG and PNG always are.")
        }
        val picture = bitmap.picture()
        bitmap.recycle()
        orientation(encoded).upright(picture)
    }

    /** Pictures without EXIF, or with a broken one, are upright. */
    private fun orientation(encoded: ByteArray): Orientation = try {
        val exif = ExifInterface(ByteArrayInputStream(encoded))
        Orientation.ofExif(exif.getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL))
    } catch (_: IOException) {
        Orientation.UPRIGHT
    }
}

private const val YUV_PLANES = 3
