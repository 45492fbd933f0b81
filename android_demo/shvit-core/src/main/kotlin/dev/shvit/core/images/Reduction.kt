package dev.shvit.core.images

/** What decoders of JPEG can divide the sides by, at most. */
internal const val MOST_REDUCTION = 8

/** A decoded photo and the memory that it is copied to take 8 bytes a pixel: 134 MB. */
private const val MOST_PIXELS = 1L shl 24

/** With fewer pixels, the reduced scale changes the model's pixels more than another decoder does. */
private const val LEAST_OVERSIZE = 2

/**
 * Returns the power of two by which the sides of an upright photo are divided when it is decoded: the rule of
 * `shvit_mobile/images/reduction.py`, which the iOS app follows too.
 *
 * It is 1 for a photo of at most 2^24 pixels; a larger one is divided until it has no more. With [preprocessing], a JPEG
 * is divided further, by at most 8, if both sides can be divided without a remainder and stay at least twice as long as
 * preprocessing resizes them to.
 *
 * @param preprocessing The preprocessing of the model, if the photo may be decoded at reduced scale.
 */
fun chooseReduction(height: Int, width: Int, preprocessing: Preprocessing? = null): Int {
    var reduction = 1
    while (divideSide(height, reduction).toLong() * divideSide(width, reduction) > MOST_PIXELS) reduction *= 2
    if (preprocessing == null) return reduction
    val (resizedHeight, resizedWidth) = Preprocessor(preprocessing).resizedSize(height, width)
    fun fits(side: Int, resized: Int, divisor: Int) =
        side % divisor == 0 && side / divisor >= LEAST_OVERSIZE * resized
    while (2 * reduction <= MOST_REDUCTION &&
        fits(height, resizedHeight, 2 * reduction) && fits(width, resizedWidth, 2 * reduction)
    ) {
        reduction *= 2
    }
    return reduction
}

/** Returns a side divided without its remainder; a picture keeps at least one pixel. */
internal fun divideSide(side: Int, reduction: Int): Int = maxOf(side / reduction, 1)
