package dev.shvit.core.measure

import dev.shvit.core.documents.FramePicture
import dev.shvit.core.images.Frame
import dev.shvit.core.images.Orientation
import dev.shvit.core.images.PixelSource
import dev.shvit.core.images.Pixels
import dev.shvit.core.images.Plane
import dev.shvit.core.images.Preprocessor
import dev.shvit.core.models.OutputDecoder
import dev.shvit.core.models.Runner
import java.nio.ByteBuffer

/**
 * A picture in memory that a benchmark takes from there to labels or boxes, as a camera's frame.
 *
 * @property picture What the report says about it.
 */
class FrameSource(
    val picture: FramePicture,
    private val source: PixelSource,
    private val orientation: Orientation,
    private val preprocessor: Preprocessor,
    private val decoder: OutputDecoder,
) {
    private val pixels = preprocessor.preprocessing.let {
        Pixels(it.height, it.width, ByteArray(it.height * it.width * Pixels.CHANNELS))
    }

    /** Takes the picture through all stages, which [timer] measures. */
    fun run(runner: Runner, timer: StageTimer) {
        timer.time(Stage.PREPROCESSING) { preprocessor.prepare(source, orientation, pixels) }
        val outputs = runner.outputs(pixels, timer)
        val (height, width) = orientation.uprightSize(source)
        timer.time(Stage.DECODING) { decoder.decode(outputs, height, width) }
    }

    companion object {
        private const val WIDTH = 640
        private const val HEIGHT = 480
        private val SENSOR = FramePicture(WIDTH, HEIGHT, FramePicture.Format.YUV_420, quarterTurns = 1)

        /** Returns a frame like those of most phones' cameras: 640 x 480, YUV 4:2:0, lying on its side. */
        fun camera(preprocessor: Preprocessor, decoder: OutputDecoder): FrameSource {
            // Neighbors differ, so that nothing about the picture is especially fast.
            val bytes = ByteBuffer.allocateDirect(WIDTH * HEIGHT * 3 / 2)
            for (place in 0 until bytes.capacity()) bytes.put(place, (place * 31 + place / WIDTH * 17).toByte())
            val (blue, red) = listOf(0, 1).map { first ->
                Plane((bytes.duplicate().position(WIDTH * HEIGHT + first) as ByteBuffer).slice(), WIDTH, 2)
            }
            val frame = Frame(WIDTH, HEIGHT, Plane(bytes, WIDTH, 1), blue, red)
            return FrameSource(SENSOR, frame, Orientation.QUARTER, preprocessor, decoder)
        }
    }
}
