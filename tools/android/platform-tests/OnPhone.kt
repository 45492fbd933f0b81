import android.content.Context
import android.os.Looper
import dev.shvit.AssetFiles
import dev.shvit.ShvitModel
import dev.shvit.core.documents.Goldens
import dev.shvit.core.models.ArtifactCache
import dev.shvit.core.models.ModelStore
import dev.shvit.core.models.StoredModel
import dev.shvit.core.models.sha256
import fakes.Misuse
import fakes.Phone
import fakes.Scene
import java.io.ByteArrayOutputStream
import java.io.File
import java.util.concurrent.FutureTask
import javax.imageio.ImageIO
import kotlin.math.abs
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlin.test.fail
import org.junit.Rule
import org.junit.rules.RuleChain
import org.junit.rules.TestRule
import org.junit.rules.Timeout
import org.junit.runners.model.Statement
import org.pytorch.executorch.Module

/** A test on a new phone, on its main thread. It fails if the fakes find a misuse, or something stays open. */
abstract class OnPhone {
    @get:Rule
    val rules: TestRule = RuleChain.outerRule(Timeout.seconds(30)).around { test, _ ->
        object : Statement() {
            override fun evaluate() {
                Phone.reset(File(System.getProperty("shvit.work")).also { it.deleteRecursively() })
                embed(stem, "a program".toByteArray()) { it }
                Thread.setDefaultUncaughtExceptionHandler { thread, reason ->
                    Misuse.report("The thread '${thread.name}' ends with $reason")
                }
                try {
                    test.evaluate()
                    Looper.runWaiting()
                    Misuse.list().firstOrNull()?.let { fail(it) }
                } finally {
                    Misuse.endThreads()
                }
            }
        }
    }

    protected val context: Context by lazy { Context.create() }
    protected val stem = FIXTURE
    protected val liteRTStem = FIXTURE.replace("executorch", "litert")
    private val source = File(System.getProperty("shvit.repository"), "schemas/fixtures/goldens")

    /** Puts a fixture's model, with its goldens and another artifact, into the app's assets. */
    private fun embed(stem: String, program: ByteArray, fixture: String = FIXTURE, change: (String) -> String) {
        val folder = Phone.assets.resolve("models/$stem")
        source.resolve("$fixture.goldens").copyRecursively(folder.resolve("$stem.goldens"))
        val manifest = change(source.resolve("$fixture.manifest.json").readText()).replace(fixture, stem)
        folder.resolve(Regex("\"name\": \"(\\S+)\"").find(manifest)!!.groupValues[1]).writeBytes(program)
        val artifact = Regex("\"sha256\": \"(\\w+)\"").find(manifest)!!.groupValues[1]
        val goldens = folder.resolve("$stem.goldens/${Goldens.FILE}")
        goldens.writeText(goldens.readText().replace(artifact, sha256(program)))
        val own = manifest.replace(artifact, sha256(program)).replace("\"bytes\": 24079656", "\"bytes\": ${program.size}")
        val before = Regex("\"goldens\": \\{[^}]*\"sha256\": \"(\\w+)\"").find(manifest)!!.groupValues[1]
        val path = "$stem/$stem.goldens"
        val after = sha256(AssetFiles(context.assets), path)
        folder.resolve("$stem.manifest.json").writeText(own.replace(before, after))
    }

    /** Also puts a model for LiteRT there. */
    protected fun embedLiteRT() = embed(liteRTStem, "a .tflite".toByteArray()) { forLiteRT(it, FIXTURE) }

    private fun forLiteRT(manifest: String, fixture: String): String = manifest.replace("$fixture.pte", "$fixture.tflite")
        .replace("\"target\": \"executorch\"", "\"target\": \"litert\"")
        .replace(Regex("\"delegation\": \\{.*?\\{[^}]*}\\s*}", RegexOption.DOT_MATCHES_ALL), "\"delegation\": null")

    /** Replaces the embedded models by a detector, for LiteRT if [liteRT], or for feature maps with its maps. */
    protected fun embedDetector(liteRT: Boolean = false, features: Boolean = false): String {
        val stem = if (liteRT) DETECTOR.replace("executorch", "litert") else DETECTOR
        Phone.assets.resolve("models").deleteRecursively()
        embed(stem, "a detector".toByteArray(), DETECTOR) { manifest ->
            val detector = if (liteRT) forLiteRT(manifest, DETECTOR) else manifest
            if (!features) return@embed detector
            detector.replace("\"detect\"", "\"features\"")
                .replace(Regex("\"detection\": \\{.*?},", RegexOption.DOT_MATCHES_ALL), "")
        }
        return stem
    }

    /** What a detector gives that finds one dog, from (8, 24) to (40, 56) in its input: scores, then boxes. */
    protected fun oneDog(): List<FloatArray> = listOf(
        FloatArray(32) { if (it == 16 + 2 * 4 + 1) 2f else -9f },
        FloatArray(8) { -9f },
        FloatArray(64),
        FloatArray(16),
    )

    protected fun model(): StoredModel = ModelStore(AssetFiles(context.assets)).model(stem)

    protected fun load(threads: Int = 1): ShvitModel =
        ShvitModel.load(model(), ArtifactCache(context.filesDir.resolve("models")), threads)

    /** Runs a task off the main thread, as the library asks for, and returns its result. */
    protected fun <T> background(task: () -> T): T {
        val future = FutureTask(task)
        Thread(future, "background").start()
        Looper.runUntil("the task ends") { future.isDone }
        return try {
            future.get()
        } catch (reason: java.util.concurrent.ExecutionException) {
            throw reason.cause!!
        }
    }

    protected fun waitFor(what: String, condition: () -> Boolean) = Looper.runUntil(what, condition)

    /** Checks the four quarters of what the model saw last: upper left, upper right, lower left, lower right. */
    protected fun assertModelSees(vararg colors: Int) {
        val input = checkNotNull(Module.input) { "the model did not run" }
        assertEquals(listOf(1L, 3L, SIDE.toLong(), SIDE.toLong()), input.shape().toList())
        assertShows(input.dataAsFloatArray, *colors)
    }

    /** Checks the four quarters of the values of an input. */
    protected fun assertShows(values: FloatArray, vararg colors: Int) {
        assertEquals(3 * SIDE * SIDE, values.size)
        assertColors(colors.toList()) { x, y ->
            val place = (y * SIDE).toInt() * SIDE + (x * SIDE).toInt()
            (0..2).fold(0) { color, channel -> color shl 8 or Math.round(values[channel * SIDE * SIDE + place]) }
        }
    }

    protected fun assertColors(expected: List<Int>, at: (Double, Double) -> Int) {
        for (quarter in 0..3) {
            for (place in 0 until 4) {
                val x = quarter % 2 * 0.5 + 0.1 + 0.3 * (place % 2)
                val y = quarter / 2 * 0.5 + 0.1 + 0.3 * (place / 2)
                val seen = at(x, y)
                val far = (0..16 step 8).maxOf { abs((seen shr it and 0xFF) - (expected[quarter] shr it and 0xFF)) }
                assertTrue(far <= 8, "$x, $y: %06x instead of %06x".format(seen and 0xFFFFFF, expected[quarter]))
            }
        }
    }

    protected companion object {
        private const val FIXTURE = "shvit_s1-64-executorch-fp32"
        private const val DETECTOR = "detector-64-executorch-fp32"
        const val SIDE = 64
        const val RED = 0xC83232
        const val GREEN = 0x32B432
        const val BLUE = 0x3C3CC8
        const val YELLOW = 0xD2C83C

        /** Four quarters of different colors. */
        val upright = Scene.Colors { x, y -> if (y < 0.5) if (x < 0.5) RED else GREEN else if (x < 0.5) BLUE else YELLOW }

        /** What is upright after a clockwise turn. */
        fun turned(clockwise: Int, colors: Scene.Colors = upright) = Scene.Colors { x, y ->
            when (clockwise.mod(360)) {
                90 -> colors.at(1 - y, x)
                180 -> colors.at(1 - x, 1 - y)
                270 -> colors.at(y, 1 - x)
                else -> colors.at(x, y)
            }
        }

        /** Encodes a picture; a JPEG with an EXIF orientation, if it is not 0. */
        fun encode(format: String, width: Int, height: Int, colors: Scene.Colors, orientation: Int = 0): ByteArray {
            val transparent = format == "png"
            val kind = if (transparent) java.awt.image.BufferedImage.TYPE_INT_ARGB else java.awt.image.BufferedImage.TYPE_INT_RGB
            val image = java.awt.image.BufferedImage(width, height, kind)
            for (y in 0 until height) {
                for (x in 0 until width) image.setRGB(x, y, colors.at((x + 0.5) / width, (y + 0.5) / height))
            }
            val encoded = ByteArrayOutputStream().also { ImageIO.write(image, format, it) }.toByteArray()
            return if (orientation == 0) encoded else encoded.copyOf(2) + exif(orientation) + encoded.drop(2)
        }

        /** An EXIF segment in big-endian order with one entry, the orientation. */
        private fun exif(orientation: Int): ByteArray = listOf(
            0xFF, 0xE1, 0, 34, 0x45, 0x78, 0x69, 0x66, 0, 0, 0x4D, 0x4D, 0, 0x2A, 0, 0, 0, 8,
            0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0,
        ).map(Int::toByte).toByteArray()
    }
}
