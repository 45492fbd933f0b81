package dev.shvit.core.images

/**
 * Returns Android's `inSampleSize`: the power of two by which a decoder divides each side so that the picture fits in
 * memory.
 *
 * @param pixels The maximum number of pixels.
 */
fun sampleSize(width: Int, height: Int, pixels: Long): Int {
    var size = 1
    while (width.toLong() / size * (height / size) > pixels) size *= 2
    return size
}
