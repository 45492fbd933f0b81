package dev.shvit.core.images

/**
 * How a stored picture lies: what is to be done for it to stand upright, by the numbers of EXIF.
 *
 * @property exif the value of EXIF's tag.
 * @property mirrored whether it is first mirrored, left to right.
 * @property quarters of a turn clockwise, after that.
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

    /** The picture made upright. */
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
        /** By EXIF's tag; a value that is none of EXIF's, as cameras that know nothing of it write, is upright. */
        fun ofExif(value: Int): Orientation = entries.firstOrNull { it.exif == value } ?: UPRIGHT

        /** A camera's frame that has to be turned clockwise by so many degrees, of which quarters of a turn count. */
        fun ofDegrees(clockwise: Int): Orientation = when (Math.floorMod(clockwise, FULL_TURN)) {
            90 -> QUARTER
            180 -> HALF_TURN
            270 -> THREE_QUARTERS
            else -> UPRIGHT
        }

        private const val FULL_TURN = 360
    }
}
