package dev.shvit.core.screen

import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class CameraUseTest {
    private val closed = ArrayList<String>()
    private val use = CameraUse<String> { closed += it }

    @AfterTest
    fun `every opened camera is closed once`() {
        use.stop()
        assertEquals(use.opens, use.closes)
        assertEquals(use.closes, closed.size)
    }

    @Test
    fun `a camera is requested once`() {
        assertTrue(use.begin())
        assertFalse(use.begin())
        assertTrue(use.opened("back"))
        assertFalse(use.begin())
        assertTrue(use.running)
    }

    @Test
    fun `a camera that opens after the stop is closed at once`() {
        use.begin()
        use.stop()
        assertFalse(use.opened("back"))
        assertEquals(listOf("back"), closed)
    }

    @Test
    fun `nothing is requested after the stop`() {
        use.stop()
        assertFalse(use.begin())
    }

    @Test
    fun `a lost camera is closed, and told once`() {
        use.begin()
        use.opened("back")
        assertTrue(use.lost("back"))
        assertFalse(use.lost("back"))
        assertFalse(use.running)
        use.stop()
        assertEquals(listOf("back"), closed)
    }

    @Test
    fun `a camera that is lost before it opens is closed`() {
        use.begin()
        assertTrue(use.lost("back"))
        assertEquals(listOf("back"), closed)
    }

    @Test
    fun `a camera that is lost after the stop is not told`() {
        use.begin()
        use.opened("back")
        use.stop()
        assertFalse(use.lost("back"))
    }
}
