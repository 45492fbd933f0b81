package dev.shvit.core.models

import dev.shvit.core.documents.Goldens
import dev.shvit.core.documents.Manifest
import dev.shvit.core.documents.OutputMap
import dev.shvit.core.documents.Target
import dev.shvit.core.images.DecodingPlan
import dev.shvit.core.images.Picture
import dev.shvit.core.images.Pixels
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.measure.StageTimer
import java.io.ByteArrayInputStream
import java.io.File
import javax.imageio.ImageIO

/** A model that looks up its logits by the SHA-256 of the pixels. */
class LookUp(private val answers: Map<String, FloatArray>) : Runner {
    override fun outputs(pixels: Pixels, timer: StageTimer?): Map<String, FloatArray> =
        mapOf("logits" to checkNotNull(answers[sha256(pixels.bytes)]) { "these pixels are no golden's" })

    override fun close() = Unit

    companion object {
        /** Creates a model that returns the goldens' logits, each plus `off`. */
        fun of(folder: GoldenFolder, off: Float = 0f): LookUp = LookUp(
            folder.goldens.images.associate { image ->
                image.pixelsSha256 to FloatArray(image.logits.size) { image.logits[it].toFloat() + off }
            },
        )
    }
}

/** A model of maps with the goldens' values at their positions, changed by [change], and zeros elsewhere. */
class LookUpMaps(
    private val goldens: Goldens,
    private val maps: List<OutputMap>,
    private val change: (String, Float) -> Float = { _, value -> value },
) : Runner {
    override fun outputs(pixels: Pixels, timer: StageTimer?): Map<String, FloatArray> {
        val values = goldens.images.first { it.pixelsSha256 == sha256(pixels.bytes) }.sampledValues.iterator()
        val outputs = maps.associate { it.name to FloatArray(it.shape.fold(1, Int::times)) }
        for (sampled in goldens.sampledOutputs) {
            for (position in sampled.positions) {
                val value = change(sampled.name, values.next().toFloat())
                outputs[sampled.name]?.let { if (position < it.size) it[position] = value }
            }
        }
        return outputs
    }

    override fun close() = Unit
}

/** An engine of an app that only its target and version matter of. */
class LinkedEngine(override val target: Target, override val name: String, override val version: String) : Engine {
    override val logTag get() = name

    override fun check(manifest: Manifest) = Unit

    override fun load(manifest: Manifest, file: File, threads: Int): Session = error("nothing loads it")
}

/** The JVM's own decoder, as a phone has its own. It converts the colors of pictures with a profile to sRGB. */
val convertingImageIo = Decoder { encoded ->
    val image = ImageIO.read(ByteArrayInputStream(encoded))
    Picture(image.width, image.height, image.getRGB(0, 0, image.width, image.height, null, 0, image.width))
}

/** The same, as the app uses a decoder. */
val imageIo = Decoder { encoded -> convertingImageIo.decode(plan(encoded, null).bytes()) }

/** The same at reduced scale, with a pixel for the pixels of each block. */
fun reducedImageIo(preprocessing: Preprocessing, reduce: (List<Int>) -> Int) = Decoder { encoded ->
    val plan = plan(encoded, preprocessing)
    val whole = convertingImageIo.decode(plan.bytes())
    val pixels = IntArray(plan.width * plan.height) { place ->
        val block = List(plan.reduction * plan.reduction) { index ->
            val row = place / plan.width * plan.reduction + index / plan.reduction
            whole.pixels[row * whole.width + place % plan.width * plan.reduction + index % plan.reduction]
        }
        reduce(block)
    }
    Picture(plan.width, plan.height, pixels, plan.reduction)
}

/** Returns the mean color of pixels. */
fun mean(pixels: List<Int>): Int = listOf(16, 8, 0).sumOf { shift ->
    (pixels.sumOf { it ushr shift and 0xFF } + pixels.size / 2) / pixels.size shl shift
}

private fun plan(encoded: ByteArray, reducedFor: Preprocessing?): DecodingPlan {
    val size = convertingImageIo.decode(encoded)
    return DecodingPlan.of(encoded, size.width, size.height, reducedFor = reducedFor)
}

/** Creates a folder like `shvit-mobile embed`: the fixture's goldens and manifest, and optionally an artifact. */
fun embedded(source: File, stem: String, into: File, artifact: ByteArray?): FolderFiles {
    into.deleteRecursively()
    val folder = into.resolve(stem)
    source.resolve("$stem.goldens").copyRecursively(folder.resolve("$stem.goldens"))
    source.resolve("$stem.manifest.json").copyTo(folder.resolve("$stem.manifest.json"))
    if (artifact != null) folder.resolve("$stem.pte").writeBytes(artifact)
    return FolderFiles(into)
}
