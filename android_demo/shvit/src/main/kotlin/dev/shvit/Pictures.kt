package dev.shvit

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Rect
import android.media.ExifInterface
import android.media.Image
import dev.shvit.core.ShvitException.UndecodablePicture
import dev.shvit.core.ShvitException.UnsupportedInput
import dev.shvit.core.images.DecodingPlan
import dev.shvit.core.images.Frame
import dev.shvit.core.images.Orientation
import dev.shvit.core.images.Part
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Plane
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.RgbaPixels
import dev.shvit.core.images.checkBitmap
import dev.shvit.core.models.Decoder
import java.io.ByteArrayInputStream
import java.io.IOException
import java.nio.ByteBuffer

/**
 * Converts an upright bitmap to an opaque picture on white.
 *
 * @throws UnsupportedInput If its values are no colors of 8 bits, or there is not enough memory for a copy.
 */
fun Bitmap.toPicture(): Picture = toPixels().toPicture()

/**
 * Copies a bitmap's bytes, from which [ShvitModel] reads what it needs. The colors stay in the bitmap's color space,
 * as in Python and on iOS; `getPixels` would convert them to sRGB.
 *
 * @param into Memory for the bytes, if it is large enough (default: new memory).
 * @throws UnsupportedInput If its values are no colors of 8 bits, or there is not enough memory for a copy.
 */
fun Bitmap.toPixels(into: ByteBuffer? = null): RgbaPixels {
    checkBitmap(config?.name)
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
 * Android's decoder of JPEG, PNG, WebP and HEIF. Its pixels are the values that the file stores, as in Python and on iOS: no
 * color profile, such as Display P3, is applied.
 *
 * @param reducedFor The preprocessing of the model, if a JPEG may be decoded at reduced scale to save time. Then its sides
 *   stay at least twice as long as the model needs them (default: it may not).
 */
class BitmapDecoder(private val reducedFor: Preprocessing? = null) : Decoder {
    /**
     * Decodes an image into an upright picture by its EXIF orientation.
     *
     * A photo of more than 2^24 pixels is decoded at reduced scale, so that decoding takes less than 150 MB: see
     * [Picture.reduction].
     *
     * @throws UndecodablePicture If Android cannot decode it.
     * @throws UnsupportedInput If it is a JPEG in CMYK, or does not fit into memory at an eighth of its scale.
     */
    override fun decode(encoded: ByteArray): Picture = trace("shvit decoding") {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeByteArray(encoded, 0, encoded.size, bounds)
        val orientation = orientation(encoded)
        val plan = DecodingPlan.of(encoded, bounds.outWidth, bounds.outHeight, orientation, reducedFor)
        pixels(plan.bytes(), plan).toPicture(orientation, plan.reduction)
    }

    /** Decodes and copies; only the copy is left. */
    private fun pixels(bytes: ByteArray, plan: DecodingPlan): RgbaPixels {
        val options = BitmapFactory.Options().apply {
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inPremultiplied = false
            inSampleSize = plan.reduction
        }
        val bitmap: Bitmap? = BitmapFactory.decodeByteArray(bytes, 0, bytes.size, options)
        if (bitmap == null) {
            throw UndecodablePicture("Android cannot decode these ${bytes.size} bytes.", "JPEG and PNG always work.")
        }
        try {
            plan.check(bitmap.width, bitmap.height)
            return bitmap.toPixels().corner(plan.width, plan.height)
        } finally {
            bitmap.recycle()
        }
    }

    /** Returns the orientation; upright without valid EXIF data. */
    private fun orientation(encoded: ByteArray): Orientation = try {
        val exif = ExifInterface(ByteArrayInputStream(encoded))
        Orientation.fromExif(exif.getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL))
    } catch (_: IOException) {
        Orientation.UPRIGHT
    }
}
