package dev.shvit

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Rect
import android.media.ExifInterface
import android.media.Image
import dev.shvit.core.ShvitException.UndecodablePicture
import dev.shvit.core.ShvitException.UnsupportedInput
import dev.shvit.core.images.Frame
import dev.shvit.core.images.Orientation
import dev.shvit.core.images.Part
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Plane
import dev.shvit.core.images.RgbaPixels
import dev.shvit.core.images.sampleSize
import dev.shvit.core.models.Decoder
import java.io.ByteArrayInputStream
import java.io.IOException
import java.nio.ByteBuffer

/**
 * Converts an upright bitmap to an opaque picture on white.
 *
 * @throws UnsupportedInput If there is not enough memory for a copy that the processor can read.
 */
fun Bitmap.toPicture(): Picture = toPixels().toPicture()

/**
 * Copies a bitmap's bytes, from which [ShvitClassifier] reads what it needs. The colors stay in the bitmap's color space,
 * as in Python and on iOS; `getPixels` would convert them to sRGB.
 *
 * @param into Memory for the bytes, if it is large enough (default: new memory).
 * @throws UnsupportedInput If there is not enough memory for a copy that the processor can read.
 */
fun Bitmap.toPixels(into: ByteBuffer? = null): RgbaPixels {
    // A bitmap in graphics memory does not give its pixels, and other ones have no four bytes per pixel.
    val readable = if (config == Bitmap.Config.ARGB_8888) this else copy(Bitmap.Config.ARGB_8888, false)
    if (readable == null) throw UnsupportedInput("The bitmap of $width x $height cannot be copied.", "It is too large.")
    val size = readable.rowBytes * height
    val bytes = into?.takeIf { it.capacity() >= size } ?: ByteBuffer.allocateDirect(size)
    bytes.clear()
    readable.copyPixelsToBuffer(bytes)
    bytes.rewind()
    val pixels = RgbaPixels(width, height, bytes, readable.rowBytes, readable.isPremultiplied)
    if (readable !== this) readable.recycle()
    return pixels
}

/**
 * Returns a camera frame in `YUV_420_888`, which reads the image's buffers: close the image after the classification.
 *
 * @throws UnsupportedInput If it has another format.
 */
fun Image.toFrame(): Frame = Frame(width, height, planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) })

/** Returns the rectangle as a part of a frame. */
fun Rect.toPart(): Part = Part(left, top, right, bottom)

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
     * @throws UndecodablePicture If Android cannot decode it.
     */
    override fun decode(encoded: ByteArray): Picture = trace("shvit decoding") {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeByteArray(encoded, 0, encoded.size, bounds)
        val options = BitmapFactory.Options().apply {
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inPremultiplied = false
            inSampleSize = sampleSize(bounds.outWidth, bounds.outHeight, pixels)
        }
        val bitmap: Bitmap? = BitmapFactory.decodeByteArray(encoded, 0, encoded.size, options)
        if (bitmap == null) {
            throw UndecodablePicture("Android cannot decode these ${encoded.size} bytes.", "JPEG and PNG always work.")
        }
        val pixels = bitmap.toPixels()
        bitmap.recycle()
        pixels.toPicture(orientation(encoded))
    }

    /** Returns the orientation; upright without valid EXIF data. */
    private fun orientation(encoded: ByteArray): Orientation = try {
        val exif = ExifInterface(ByteArrayInputStream(encoded))
        Orientation.fromExif(exif.getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL))
    } catch (_: IOException) {
        Orientation.UPRIGHT
    }
}
