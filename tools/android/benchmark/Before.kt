package benchmark

import dev.shvit.core.documents.InputContract
import dev.shvit.core.documents.InputKind
import dev.shvit.core.documents.InputValues
import dev.shvit.core.images.Frame
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Plane
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.Preprocessor

/** As the app prepared frames before it read them in place. Compiled against the core of that time. */
fun cases(): List<Case> {
    val preprocessing = Preprocessing()
    val preprocessor = Preprocessor(preprocessing)
    val input = InputContract("image", InputKind.TENSOR, InputValues.PIXELS, listOf(1, 3, 224, 224), "float32")
    fun case(name: String, picture: () -> Picture) = Case(name) {
        input.tensor(preprocessor.pixels(picture()), preprocessing)
    }
    return listOf(640 to 480, 1280 to 720).flatMap { (width, height) ->
        val bytes = rgba(width, height)
        val y = Plane(samples(width * height), width, 1)
        val chroma = samples(width * height / 2)
        val u = Plane(chroma, width, 2)
        val v = Plane(chroma.duplicate().also { it.position(1) }.slice(), width, 2)
        listOf(
            case("$width x $height RGBA") { Picture.onWhite(width, height, numbers(bytes, width * height)) },
            case("$width x $height YUV") { Frame(width, height, y, u, v).toPicture() },
            case("$width x $height YUV, turned") { Frame(width, height, y, u, v).toPicture(90) },
        )
    }
}

/** What `Bitmap.getPixels` does, as fast as the JVM can: 0xAARRGGBB. */
private fun numbers(bytes: java.nio.ByteBuffer, count: Int): IntArray {
    val numbers = IntArray(count)
    bytes.duplicate().asIntBuffer().get(numbers)
    for (place in 0 until count) numbers[place] = Integer.rotateRight(numbers[place], 8)
    return numbers
}
