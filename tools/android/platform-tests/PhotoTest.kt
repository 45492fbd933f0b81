import android.app.Activity
import android.app.Screens
import android.content.Intent
import android.graphics.Canvas
import android.net.Uri
import android.widget.CheckBox
import android.widget.ImageView
import android.widget.TextView
import dev.shvit.demo.Library
import dev.shvit.demo.PhotoActivity
import dev.shvit.demo.PictureOverlay
import dev.shvit.demo.R
import fakes.Misuse
import fakes.Phone
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import org.pytorch.executorch.Module

/** The photo screen classifies a photo off the main thread and shows it upright. */
class PhotoTest : OnPhone() {
    private lateinit var screen: PhotoActivity

    private fun choose(encoded: ByteArray) {
        val address = Uri.parse("content://photos/1")
        Phone.CONTENT[address.toString()] = encoded
        Screens.answer(screen, 1, Activity.RESULT_OK, Intent("", address))
    }

    private fun text(id: Int) = (screen.findViewById(id) as TextView).text.toString()

    private fun leave() {
        Screens.close(screen)
        waitFor("the model is freed") {
            Library.dropIdleModel()
            !Misuse.isAnyOpen(Module::class.java)
        }
    }

    @Test
    fun `a photo is classified and shown upright`() {
        Module.model = java.util.function.Function { FloatArray(10) { if (it == 3) 9f else 0f } }
        screen = Screens.open(PhotoActivity(), Intent())
        assertEquals("android.provider.action.PICK_IMAGES", Phone.STARTED.single().action)
        choose(encode("jpg", 1500, 1000, turned(90), orientation = 6))
        waitFor("the screen shows the classes") { "cat" in text(R.id.predictions) }
        assertModelSees(RED, GREEN, BLUE, YELLOW)
        val shown = assertNotNull((screen.findViewById(R.id.picture) as ImageView).bitmap)
        assertEquals(500 to 750, shown.width to shown.height)
        assertColors(listOf(RED, GREEN, BLUE, YELLOW)) { x, y ->
            shown.getPixel((x * shown.width).toInt(), (y * shown.height).toInt())
        }
        screen = Screens.rotate(screen, ::PhotoActivity)
        waitFor("the new screen shows the classes") { "cat" in text(R.id.predictions) }
        leave()
    }

    @Test
    fun `a large photo is decoded at reduced scale if the setting allows it`() {
        Module.model = java.util.function.Function { FloatArray(10) { if (it == 3) 9f else 0f } }
        screen = Screens.open(PhotoActivity(), Intent())
        choose(encode("jpg", 512, 512, upright))
        waitFor("the screen shows the classes") { "cat" in text(R.id.predictions) }
        assertFalse("1/4" in text(R.id.status))
        (screen.findViewById(R.id.reduced_scale) as CheckBox).isChecked = true
        choose(encode("jpg", 512, 512, upright))
        waitFor("the screen tells the scale") { "1/4" in text(R.id.status) }
        assertModelSees(RED, GREEN, BLUE, YELLOW)
        leave()
    }

    @Test
    fun `boxes are drawn where the view shows the objects`() {
        embedDetector()
        Module.maps = java.util.function.Function { oneDog().toTypedArray() }
        screen = Screens.open(PhotoActivity(), Intent())
        choose(encode("jpg", 144, 96, upright))
        waitFor("the screen shows the object") { "dog" in text(R.id.predictions) }
        assertEquals(true, "boxes" in text(R.id.latency))
        val overlay = screen.findViewById(R.id.overlay) as PictureOverlay
        overlay.layOut(288, 300)
        val canvas = Canvas(288f, 300f)
        overlay.draw(canvas)
        // Twice as large as the photo, which lies 54 pixels below the top of the view. The second is behind the label.
        assertEquals(listOf(72f, 126f, 168f, 222f), canvas.places.first().toList())
        assertEquals(2, canvas.rectangles)
        assertEquals(true, canvas.texts.single().endsWith("dog"))
        leave()
    }

    @Test
    fun `feature maps are not shown, and the screen says so`() {
        embedDetector(features = true)
        screen = Screens.open(PhotoActivity(), Intent())
        choose(encode("jpg", 144, 96, upright))
        waitFor("the screen tells it") { "gives feature maps" in text(R.id.status) }
        leave()
    }

    @Test
    fun `what is no photo is told`() {
        screen = Screens.open(PhotoActivity(), Intent())
        choose("no picture".toByteArray())
        waitFor("the screen tells it") { "decode" in text(R.id.status) }
        leave()
    }
}
