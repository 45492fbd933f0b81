package dev.shvit.core.screen

import dev.shvit.core.images.Padding
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.ResizeMode
import kotlin.test.Test
import kotlin.test.assertEquals

class CameraGeometryTest {
    private fun assertCrop(expected: Rectangle, width: Int, height: Int, preprocessing: Preprocessing) {
        val crop = CameraGeometry.crop(width, height, preprocessing)
        val pairs = listOf(Rectangle::left, Rectangle::top, Rectangle::right, Rectangle::bottom)
        for (side in pairs) assertEquals(side.get(expected), side.get(crop), 0.01 * width, "$side of $crop")
    }

    @Test
    fun `the model sees the middle of a view`() {
        val square = Preprocessing(height = 224, width = 224, cropRatio = 0.875)
        assertCrop(Rectangle(50.0, 50.0, 750.0, 750.0), 800, 800, square)
        assertCrop(Rectangle(450.0, 50.0, 1150.0, 750.0), 1600, 800, square)
        assertCrop(Rectangle(50.0, 450.0, 750.0, 1150.0), 800, 1600, square)
    }

    @Test
    fun `a model that is not square sees a rectangle of its shape`() {
        val wide = Preprocessing(height = 100, width = 200, cropRatio = 1.0)
        assertCrop(Rectangle(0.0, 200.0, 800.0, 600.0), 800, 800, wide)
    }

    @Test
    fun `a model that squashes sees the same share of both sides`() {
        val squash = Preprocessing(height = 224, width = 224, cropRatio = 0.875, resizeMode = ResizeMode.SQUASH)
        assertCrop(Rectangle(100.0, 50.0, 1500.0, 750.0), 1600, 800, squash)
    }

    @Test
    fun `a model with a letterbox sees all of the picture`() {
        val letterbox = Preprocessing(
            cropRatio = 1.0,
            resizeMode = ResizeMode.LETTERBOX,
            padding = Padding.CENTER,
            paddingValue = listOf(0, 0, 0),
        )
        assertCrop(Rectangle(0.0, 0.0, 1600.0, 800.0), 1600, 800, letterbox)
    }
}
