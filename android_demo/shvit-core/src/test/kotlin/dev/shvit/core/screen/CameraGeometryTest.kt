package dev.shvit.core.screen

import dev.shvit.core.screen.CameraGeometry.Fit
import dev.shvit.core.screen.CameraGeometry.Size
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull

class CameraGeometryTest {
    @Test
    fun `rotation is against the display's, and with it for a front camera`() {
        val displays = listOf(0, 90, 180, 270)
        assertEquals(listOf(90, 0, 270, 180), displays.map { CameraGeometry.upright(90, it, front = false) })
        assertEquals(listOf(270, 0, 90, 180), displays.map { CameraGeometry.upright(270, it, front = true) })
    }

    @Test
    fun `the smallest sufficient size of the full sensor is chosen`() {
        val sizes = listOf(Size(1920, 1080), Size(1280, 960), Size(640, 480), Size(640, 360), Size(320, 240))
        assertEquals(Size(640, 480), CameraGeometry.chooseSize(sizes, 480))
        assertEquals(Size(1280, 960), CameraGeometry.chooseSize(sizes, 481))
        assertEquals(Size(1280, 960), CameraGeometry.chooseSize(sizes, 4000))
        assertEquals(Size(1280, 720), CameraGeometry.chooseSize(listOf(Size(1280, 720), Size(1920, 1080)), 480))
        assertNull(CameraGeometry.chooseSize(emptyList(), 480))
    }

    /** 640 x 480 of a sensor turned by 90 is 480 x 640 upright; a view of 960 x 960 shows it twice as large. */
    @Test
    fun `an upright view is filled in the picture's aspect ratio`() {
        val fit = CameraGeometry.fit(Size(960, 960), Size(640, 480), sensor = 90, display = 0)
        assertEquals(Fit(0.5, 640 / 960.0, 0, 2.0), fit)
    }

    @Test
    fun `a phone in landscape rotates the picture back`() {
        val fit = CameraGeometry.fit(Size(1280, 480), Size(640, 480), sensor = 90, display = 90)
        assertEquals(Fit(480 / 1280.0, 640 / 480.0, 270, 2.0), fit)
    }
}
