package benchmark

import dev.shvit.core.documents.InputContract
import dev.shvit.core.documents.InputKind
import dev.shvit.core.documents.InputValues
import dev.shvit.core.images.Frame
import dev.shvit.core.images.Orientation
import dev.shvit.core.images.PixelSource
import dev.shvit.core.images.Pixels
import dev.shvit.core.images.Plane
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.Preprocessor
import dev.shvit.core.images.RgbaPixels
import dev.shvit.core.images.TensorValues

/** As the app prepares frames. */
fun cases(): List<Case> {
    val preprocessing = Preprocessing()
    val preprocessor = Preprocessor(preprocessing)
    val input = InputContract("image", InputKind.TENSOR, InputValues.PIXELS, listOf(1, 3, 224, 224), "float32")
    val values = TensorValues(input, preprocessing)
    val pixels = Pixels(224, 224, ByteArray(224 * 224 * 3))
    fun case(name: String, orientation: Orientation, source: () -> PixelSource) = Case(name) {
        preprocessor.prepare(source(), orientation, pixels)
        values.of(pixels)
    }
    return listOf(640 to 480, 1280 to 720).flatMap { (width, height) ->
        val bytes = rgba(width, height)
        val y = Plane(samples(width * height), width, 1)
        val chroma = samples(width * height / 2)
        val u = Plane(chroma, width, 2)
        val v = Plane(chroma.duplicate().also { it.position(1) }.slice(), width, 2)
        listOf(
            case("$width x $height RGBA", Orientation.UPRIGHT) { RgbaPixels(width, height, bytes) },
            case("$width x $height YUV", Orientation.UPRIGHT) { Frame(width, height, y, u, v) },
            case("$width x $height YUV, turned", Orientation.QUARTER) { Frame(width, height, y, u, v) },
        )
    }
}
