package dev.shvit.core.images

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertSame

class OrientationTest {
    private val picture = Picture(3, 2, intArrayOf(1, 2, 3, 4, 5, 6))

    /** Expected: Pillow's `ImageOps.exif_transpose` of the same pixels. */
    @Test
    fun `every EXIF orientation becomes upright as in Python`() {
        val expected = mapOf(
            1 to listOf(1, 2, 3, 4, 5, 6),
            2 to listOf(3, 2, 1, 6, 5, 4),
            3 to listOf(6, 5, 4, 3, 2, 1),
            4 to listOf(4, 5, 6, 1, 2, 3),
            5 to listOf(1, 4, 2, 5, 3, 6),
            6 to listOf(4, 1, 5, 2, 6, 3),
            7 to listOf(6, 3, 5, 2, 4, 1),
            8 to listOf(3, 6, 2, 5, 1, 4),
        )
        for ((exif, pixels) in expected) {
            val upright = Orientation.fromExif(exif).upright(picture)
            assertEquals(pixels, upright.pixels.toList(), "orientation $exif")
            assertEquals(if (exif < 5) 3 to 2 else 2 to 3, upright.width to upright.height, "orientation $exif")
        }
    }

    @Test
    fun `an invalid EXIF orientation leaves the picture as it is`() {
        for (exif in listOf(0, 9, -1)) assertSame(picture, Orientation.fromExif(exif).upright(picture))
    }

    @Test
    fun `degrees map to clockwise quarter turns`() {
        val quarters =
            listOf(Orientation.UPRIGHT, Orientation.QUARTER, Orientation.HALF_TURN, Orientation.THREE_QUARTERS)
        for (turns in -8..8) assertEquals(quarters[Math.floorMod(turns, 4)], Orientation.fromDegrees(90 * turns))
    }
}
