package dev.shvit.core.images

/**
 * A stored picture's orientation, with EXIF's numbers: what makes it upright.
 *
 * @property exif The value of the EXIF tag.
 * @param mirrored Whether it is first mirrored from left to right.
 * @param quarters Quarter turns clockwise after that.
 */
enum class Orientation(val exif: Int, mirrored: Boolean, quarters: Int) {
    UPRIGHT(1, false, 0),
    MIRRORED(2, true, 0),
    HALF_TURN(3, false, 2),
    MIRRORED_HALF_TURN(4, true, 2),
    MIRRORED_THREE_QUARTERS(5, true, 3),
    QUARTER(6, false, 1),
    MIRRORED_QUARTER(7, true, 1),
    THREE_QUARTERS(8, false, 3);

    /** Whether rows in memory are columns of the upright picture. */
    internal val sideways: Boolean = quarters % 2 == 1

    /** Whether the first row in memory is the upright picture's last row or column. */
    internal val rowsReversed: Boolean = quarters == 1 || quarters == 2

    /** Whether the first column in memory is the upright picture's last row or column. */
    internal val columnsReversed: Boolean = (quarters >= 2) != mirrored

    /** Returns the upright picture. */
    fun upright(picture: Picture): Picture = if (this == UPRIGHT) picture else picture.toPicture(this)

    /** Returns the upright (height, width) of a source, in pixels. */
    fun uprightSize(source: PixelSource): Pair<Int, Int> =
        if (sideways) source.width to source.height else source.height to source.width

    companion object {
        /** Returns the orientation of an EXIF value; upright for invalid values, which some cameras write. */
        fun fromExif(value: Int): Orientation = entries.firstOrNull { it.exif == value } ?: UPRIGHT

        /** Returns the orientation of a frame that must be rotated clockwise, rounded down to quarter turns. */
        fun fromDegrees(clockwise: Int): Orientation = when (Math.floorMod(clockwise, FULL_TURN)) {
            90 -> QUARTER
            180 -> HALF_TURN
            270 -> THREE_QUARTERS
            else -> UPRIGHT
        }

        private const val FULL_TURN = 360
    }
}
