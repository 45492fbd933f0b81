import android.app.Screens
import android.content.Intent
import android.graphics.Canvas
import android.os.Looper
import android.view.View
import android.widget.TextView
import androidx.camera.core.CameraState
import androidx.camera.view.PreviewView
import dev.shvit.demo.LiveActivity
import dev.shvit.demo.PictureOverlay
import dev.shvit.demo.R
import fakes.Camera
import fakes.Misuse
import fakes.Phone
import fakes.Scene
import java.util.concurrent.CountDownLatch
import kotlin.test.Test
import kotlin.test.assertEquals
import org.pytorch.executorch.Module

/** The live screen uses the camera as Android needs it. */
class LiveTest : OnPhone() {
    private lateinit var screen: LiveActivity
    private val before = Thread.getAllStackTraces().keys

    private fun open(width: Int = 1080, height: Int = 1200): LiveActivity {
        Phone.PERMISSIONS += "android.permission.CAMERA"
        screen = Screens.open(LiveActivity(), Intent())
        preview(screen).layOut(width, height)
        waitFor("the camera runs") { Camera.runs() }
        return screen
    }

    private fun preview(screen: LiveActivity) = screen.findViewById(R.id.preview) as PreviewView

    private fun text(id: Int) = (screen.findViewById(id) as TextView).text.toString()

    /** Lets the back camera see the scene on a phone whose display is turned, and waits for the inference. */
    private fun look(clockwise: Int, colors: Scene.Colors = upright) {
        val runs = Module.RUNS.get()
        Camera.take(Scene(turned(clockwise, colors), Scene.Memory.RED_FIRST))
        waitFor("the model sees the frame") { Module.RUNS.get() > runs }
    }

    private fun leave() {
        Screens.close(screen)
        waitFor("the camera is closed") { !Camera.runs() }
        waitFor("the frames' thread ends") { (Thread.getAllStackTraces().keys - before).none { it.name == "frames" } }
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
    fun `the model sees what the view shows, and its part is framed`() {
        // Of a frame of 480 x 640, a wide view shows the middle 480 x 240.
        val middle = Scene.Colors { x, y -> if (y in 0.3125..0.6875) upright.at(x, (y - 0.3125) / 0.375) else 0 }
        open(width = 1200, height = 600)
        look(90, middle)
        assertModelSees(RED, GREEN, BLUE, YELLOW)
        val crop = screen.findViewById(R.id.overlay) as PictureOverlay
        waitFor("the part is known") { crop.preprocessing != null }
        crop.layOut(1200, 600)
        val canvas = Canvas(1200f, 600f)
        crop.draw(canvas)
        assertEquals(1, canvas.rectangles)
        leave()
    }

    /** Draws the overlay of a view of 600 x 600, and returns the left and the right side of the only box. */
    private fun drawBox(): List<Float> {
        val overlay = screen.findViewById(R.id.overlay) as PictureOverlay
        overlay.layOut(600, 600)
        val canvas = Canvas(600f, 600f)
        overlay.draw(canvas)
        // What the model sees, the box, and the rectangle behind its label.
        assertEquals(3, canvas.rectangles)
        return listOf(canvas.places[1][0], canvas.places[1][2])
    }

    @Test
    fun `boxes are drawn over the preview, mirrored for a front camera`() {
        embedDetector()
        Module.maps = java.util.function.Function { oneDog().toTypedArray() }
        open(width = 600, height = 600)
        look(90)
        waitFor("the screen shows the object") { "dog" in text(R.id.predictions) }
        assertEquals(listOf(75f, 375f), drawBox())
        leave()
        Camera.MOUNTED.removeAll { !it.front }
        open(width = 600, height = 600)
        look(270)
        waitFor("the screen shows the object") { "dog" in text(R.id.predictions) }
        assertEquals(listOf(225f, 525f), drawBox())
        leave()
    }

    @Test
    fun `a half turn of the phone turns the frame`() {
        open()
        Phone.rotation = 2
        Camera.LISTENERS.forEach { it.onDisplayChanged(0) }
        look(270)
        assertModelSees(RED, GREEN, BLUE, YELLOW)
        leave()
    }

    @Test
    fun `a screen that is left while CameraX starts opens no camera`() {
        Phone.PERMISSIONS += "android.permission.CAMERA"
        screen = Screens.open(LiveActivity(), Intent())
        preview(screen).layOut(1080, 1200)
        Screens.close(screen)
        Looper.runWaiting()
        assertEquals(0, Camera.opens)
    }

    @Test
    fun `a screen in the background does not use the camera`() {
        open()
        look(90)
        Screens.pause(screen)
        waitFor("the camera is closed") { !Camera.runs() }
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
        preview(screen).layOut(1200, 1080)
        waitFor("the camera runs again") { Camera.runs() }
        look(90)
        leave()
    }

    @Test
    fun `a view that is laid out again in the same size keeps the camera`() {
        open()
        preview(screen).layOut(1080, 1200)
        look(90)
        leave()
        assertEquals(1, Camera.opens)
    }

    @Test
    fun `a camera that another app takes is told, and the next frame is shown`() {
        open()
        look(90)
        Camera.open.lose(CameraState.ERROR_CAMERA_IN_USE)
        waitFor("the screen tells it") { "in use" in text(R.id.status) }
        look(90)
        waitFor("the screen goes on") { stem in text(R.id.status) }
        leave()
    }

    @Test
    fun `a failing model is told once, and frames are still closed`() {
        Module.model = java.util.function.Function { throw IllegalStateException("out of memory") }
        open()
        look(90)
        waitFor("the screen tells it") { "out of memory" in text(R.id.status) }
        repeat(5) { Camera.take(Scene(upright, Scene.Memory.PLANAR)) }
        leave()
        assertEquals(1, Module.RUNS.get(), "the model runs again after its failure")
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
