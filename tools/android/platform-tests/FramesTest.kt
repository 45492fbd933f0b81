import android.graphics.Rect
import dev.shvit.ImageClassifier
import dev.shvit.core.images.Orientation
import dev.shvit.toFrame
import fakes.Scene
import kotlin.test.Test

/** The model sees a camera frame as it is, however its planes lie in memory. */
class FramesTest : OnPhone() {
    private fun classify(scene: Scene, orientation: Orientation = Orientation.UPRIGHT) = background {
        load().use { classifier ->
            scene.toImage(644, 480) {}.use { classifier.analyze(it.toFrame(), orientation) }
        }
    }

    @Test
    fun `planes of their own`() {
        classify(Scene(upright, Scene.Memory.PLANAR))
        assertModelSees(RED, GREEN, BLUE, YELLOW)
    }

    @Test
    fun `chroma that alternates, blue first`() {
        classify(Scene(upright, Scene.Memory.BLUE_FIRST))
        assertModelSees(RED, GREEN, BLUE, YELLOW)
    }

    @Test
    fun `chroma that alternates, red first`() {
        classify(Scene(upright, Scene.Memory.RED_FIRST))
        assertModelSees(RED, GREEN, BLUE, YELLOW)
    }

    @Test
    fun `the part of a frame that the camera shows`() {
        val inner = Scene.Colors { x, y -> if (x in 0.25..0.75 && y in 0.25..0.75) upright.at(x, y) else 0 }
        background {
            ImageClassifier.named(context, stem, threads = 1).use { classifier ->
                Scene(inner, Scene.Memory.RED_FIRST).toImage(640, 480) {}.use { image ->
                    image.cropRect = Rect(200, 120, 440, 360)
                    classifier.classify(image, clockwise = 0)
                }
            }
        }
        assertModelSees(RED, GREEN, BLUE, YELLOW)
    }

    @Test
    fun `frames that an app classifies with one call`() {
        for (memory in Scene.Memory.values()) {
            val scene = Scene(turned(90), memory)
            background {
                ImageClassifier.named(context, stem, threads = 1).use { classifier ->
                    scene.toImage(640, 480) {}.use { classifier.classify(it, clockwise = 90) }
                }
            }
            assertModelSees(RED, GREEN, BLUE, YELLOW)
        }
    }

    @Test
    fun `frames that have to be turned`() {
        for (clockwise in listOf(90, 180, 270)) {
            val scene = Scene(turned(clockwise), Scene.Memory.BLUE_FIRST)
            classify(scene, Orientation.fromDegrees(clockwise))
            assertModelSees(RED, GREEN, BLUE, YELLOW)
        }
    }
}
