import android.app.Screens
import android.content.Intent
import android.view.TextureView
import android.view.View
import android.widget.TextView
import dev.shvit.demo.LiveActivity
import dev.shvit.demo.R
import fakes.Camera
import fakes.Misuse
import fakes.Phone
import fakes.Scene
import java.util.concurrent.CountDownLatch
import kotlin.math.atan2
import kotlin.math.hypot
import kotlin.math.roundToInt
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.pytorch.executorch.Module

/** The live screen uses the camera as Android needs it. */
class LiveTest : OnPhone() {
    private lateinit var screen: LiveActivity

    private fun open(width: Int = 1080, height: Int = 1200): LiveActivity {
        Phone.PERMISSIONS += "android.permission.CAMERA"
        screen = Screens.open(LiveActivity(), Intent())
        preview(screen).appear(width, height)
        waitFor("the camera runs") { Camera.runs() }
        return screen
    }

    private fun preview(screen: LiveActivity) = screen.findViewById(R.id.preview) as TextureView

    private fun text(id: Int) = (screen.findViewById(id) as TextView).text.toString()

    /** Lets the back camera see the scene on a phone whose display is turned, and waits for the inference. */
    private fun look(clockwise: Int, colors: Scene.Colors = upright) {
        val runs = Module.RUNS.get()
        Camera.take(Scene(turned(clockwise, colors), Scene.Memory.RED_FIRST))
        waitFor("the model sees the frame") { Module.RUNS.get() > runs }
    }

    private fun leave() {
        Screens.close(screen)
        waitFor("the camera is closed") { Camera.device == null }
        waitFor("the model is freed when memory is low") {
            screen.onTrimMemory(80)
            !Misuse.isAnyOpen(Module::class.java)
        }
    }

    @Test
    fun `frames become predictions on the screen`() {
        Module.model = java.util.function.Function { FloatArray(10) { if (it == 6) 9f else 0f } }
        open()
        look(90)
        assertModelSees(RED, GREEN, BLUE, YELLOW)
        waitFor("the screen shows the classes") { "frog" in text(R.id.predictions) }
        waitFor("the screen shows the latency") { "ms" in text(R.id.latency) }
        repeat(5) { look(90) }
        leave()
        assertEquals(1, Camera.opens)
        assertEquals(1, Camera.closes)
    }

    @Test
    fun `the frame is upright however the phone is held`() {
        for ((rotation, clockwise) in listOf(0 to 90, 1 to 0, 2 to 270, 3 to 180)) {
            Phone.rotation = rotation
            open()
            look(clockwise)
            assertModelSees(RED, GREEN, BLUE, YELLOW)
            leave()
        }
    }

    @Test
    fun `the frame of a front camera is upright and not mirrored`() {
        for ((rotation, clockwise) in listOf(0 to 270, 1 to 0, 2 to 90, 3 to 180)) {
            Camera.MOUNTED.removeAll { !it.front }
            Phone.rotation = rotation
            open()
            look(clockwise)
            assertModelSees(RED, GREEN, BLUE, YELLOW)
            leave()
        }
    }

    @Test
    fun `the latest frame is classified, and none is kept`() {
        open()
        val go = CountDownLatch(1)
        Module.model = java.util.function.Function {
            go.await()
            FloatArray(10)
        }
        look(90)
        for (color in listOf(RED, GREEN, BLUE)) Camera.take(Scene({ _, _ -> color }, Scene.Memory.PLANAR))
        go.countDown()
        waitFor("the model sees the next frame") { Module.RUNS.get() > 1 }
        assertModelSees(BLUE, BLUE, BLUE, BLUE)
        leave()
    }

    @Test
    fun `the preview fills the view, upright and not distorted`() {
        val (width, height) = 1080f to 1200f
        for (rotation in 0..3) {
            Phone.rotation = rotation
            open()
            val points = floatArrayOf(0f, 0f, width, 0f, 0f, height, width, height)
            preview(screen).transform.mapPoints(points)
            val (x, y) = points[2] - points[0] to points[3] - points[1]
            val down = hypot(points[4] - points[0], points[5] - points[1])
            assertEquals(3 / 4f, hypot(x, y) / down, 0.01f)
            val degrees = Math.toDegrees(atan2(y, x).toDouble())
            assertTrue((degrees.roundToInt() + 90 * rotation).mod(360) == 0, "$degrees degrees")
            val across = points.filterIndexed { place, _ -> place % 2 == 0 }
            val below = points.filterIndexed { place, _ -> place % 2 == 1 }
            assertTrue(across.min() <= 1 && across.max() >= width - 1 && below.min() <= 1 && below.max() >= height - 1)
            leave()
        }
    }

    @Test
    fun `a half turn of the phone turns the preview`() {
        open()
        val before = floatArrayOf(0f, 0f).also(preview(screen).transform::mapPoints)
        Phone.rotation = 2
        Camera.LISTENERS.forEach { it.onDisplayChanged(0) }
        val after = floatArrayOf(0f, 0f).also(preview(screen).transform::mapPoints)
        assertTrue(hypot(before[0] - after[0], before[1] - after[1]) > 1000)
        look(270)
        assertModelSees(RED, GREEN, BLUE, YELLOW)
        leave()
    }

    @Test
    fun `a screen that is left while the camera opens closes it`() {
        Phone.PERMISSIONS += "android.permission.CAMERA"
        screen = Screens.open(LiveActivity(), Intent())
        preview(screen).appear(1080, 1200)
        Screens.close(screen)
        waitFor("the camera is closed") { Camera.closes == 1 }
    }

    @Test
    fun `a screen in the background does not use the camera`() {
        open()
        look(90)
        Screens.pause(screen)
        waitFor("the camera is closed") { Camera.device == null }
        Screens.resume(screen)
        waitFor("the camera runs again") { Camera.runs() }
        look(90)
        leave()
        assertEquals(2, Camera.opens)
        assertEquals(2, Camera.closes)
    }

    @Test
    fun `a rotation of the screen opens the camera again`() {
        open()
        look(90)
        screen = Screens.rotate(screen, ::LiveActivity)
        preview(screen).appear(1200, 1080)
        waitFor("the camera runs again") { Camera.runs() }
        look(90)
        leave()
    }

    @Test
    fun `a texture that comes twice opens the camera once`() {
        open()
        preview(screen).appear(1080, 1200)
        look(90)
        leave()
        assertEquals(1, Camera.opens)
    }

    @Test
    fun `a camera that another app takes is told and closed`() {
        open()
        look(90)
        Camera.device.disconnect()
        waitFor("the screen tells it") { "disconnected" in text(R.id.status) }
        assertNull(Camera.device)
        leave()
    }

    @Test
    fun `a failing model is told, and frames are still closed`() {
        Module.model = java.util.function.Function { throw IllegalStateException("out of memory") }
        open()
        look(90)
        waitFor("the screen tells it") { "out of memory" in text(R.id.status) }
        repeat(5) { Camera.take(Scene(upright, Scene.Memory.PLANAR)) }
        leave()
    }

    @Test
    fun `the permission is asked for once`() {
        screen = Screens.open(LiveActivity(), Intent())
        assertEquals(listOf("android.permission.CAMERA"), Screens.asked.toList())
        Screens.pause(screen)
        screen.onRequestPermissionsResult(1, Screens.asked, intArrayOf(-1))
        Screens.asked = emptyArray()
        Screens.resume(screen)
        assertEquals(0, Screens.asked.size)
        assertEquals(View.VISIBLE, screen.findViewById(R.id.mend).visibility)
        screen.findViewById(R.id.mend).press()
        assertEquals("android.settings.APPLICATION_DETAILS_SETTINGS", Phone.STARTED.last().action)
        assertEquals(0, Camera.opens)
        Screens.close(screen)
    }
}
