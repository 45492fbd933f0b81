package dev.shvit.core.images

/**
 * How often each side of a picture is to be halved when it is decoded, so that it fits in memory, as a power of two:
 * Android's `inSampleSize`.
 *
 * @param pixels that it may have at most.
 */
fun sampleSize(width: Int, height: Int, pixels: Long): Int {
    var size = 1
    while (width.toLong() / size * (height / size) > pixels) size *= 2
    return size
}
