package dev.shvit.core.images

/**
 * A stored picture's orientation, with EXIF's numbers: what makes it upright.
 *
 * @property exif The value of the EXIF tag.
 * @property mirrored Whether it is first mirrored from left to right.
 * @property quarters Quarter turns clockwise after that.
 */
enum class Orientation(val exif: Int, private val mirrored: Boolean, private val quarters: Int) {
    UPRIGHT(1, false, 0),
    MIRRORED(2, true, 0),
    HALF_TURN(3, false, 2),
    MIRRORED_HALF_TURN(4, true, 2),
    MIRRORED_THREE_QUARTERS(5, true, 3),
    QUARTER(6, false, 1),
    MIRRORED_QUARTER(7, true, 1),
    THREE_QUARTERS(8, false, 3);

    /** Returns the upright picture. */
    fun upright(picture: Picture): Picture {
        if (this == UPRIGHT) return picture
        val (width, height) = picture.width to picture.height
        val sideways = quarters % 2 == 1
        val uprightWidth = if (sideways) height else width
        val pixels = IntArray(width * height) { place ->
            val (row, column) = place / uprightWidth to place % uprightWidth
            val (fromRow, fromColumn) = when (quarters) {
                0 -> row to column
                1 -> height - 1 - column to row
                2 -> height - 1 - row to width - 1 - column
                else -> column to width - 1 - row
            }
            picture.pixels[fromRow * width + if (mirrored) width - 1 - fromColumn else fromColumn]
        }
        return Picture(uprightWidth, if (sideways) width else height, pixels)
    }

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
