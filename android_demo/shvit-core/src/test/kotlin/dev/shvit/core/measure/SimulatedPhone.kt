package dev.shvit.core.measure

import dev.shvit.core.Shared
import dev.shvit.core.documents.Device
import dev.shvit.core.documents.DeviceKind
import dev.shvit.core.documents.ThermalState
import dev.shvit.core.documents.GoldenCheck
import dev.shvit.core.documents.Manifest
import dev.shvit.core.images.Pixels
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.Preprocessor
import dev.shvit.core.models.OutputDecoder
import dev.shvit.core.models.Runner

/**
 * A phone whose time passes only while something runs, and that throttles after a while.
 *
 * @property hotAfter The second from which it is fair and everything takes 1.5 times as long.
 * @property coolAfter The second until which it is fair, as it was in use before.
 */
class SimulatedPhone(private val hotAfter: Double = Double.MAX_VALUE, var coolAfter: Double = 0.0) :
    Clock, Phone, Sleep {
    private var now = 5_000_000_000L
    var memory = 100_000_000L
    var loaded = 0
    val log = ArrayList<String>()

    private val seconds get() = (now - 5_000_000_000L) / 1e9
    private val hot get() = seconds >= hotAfter || seconds < coolAfter

    override fun milliseconds(count: Long) {
        now += count * 1_000_000
    }

    fun pass(milliseconds: Double) {
        now += (milliseconds * 1e6 * if (hot) 1.5 else 1.0).toLong()
    }

    override fun nanoseconds(): Long = now

    var savesPower = false

    override fun lowPower() = savesPower

    override fun sustainedPerformance() = true

    override fun battery() = 0.75

    override fun charging() = true

    override fun thermal() =
        if (hot) ThermalReading(ThermalState.FAIR, 0.7) else ThermalReading(ThermalState.NOMINAL, 0.3)

    override fun memoryBytes() = memory
}

/** A phone without any readings. */
class SilentPhone(private val clock: Clock) : Phone, Clock by clock {
    override fun lowPower(): Boolean? = null

    override fun battery(): Double? = null

    override fun charging(): Boolean? = null

    override fun thermal(): ThermalReading? = null

    override fun memoryBytes(): Long? = null
}

/** A model that takes `milliseconds` on a simulated phone, and twice as much the first time. */
class SimulatedModel(private val phone: SimulatedPhone, private val name: String, private val milliseconds: Double) :
    Runner {

    private var runs = 0

    init {
        phone.pass(30.0)
        phone.memory += 40_000_000
        phone.loaded++
        phone.log += "load $name"
    }

    override fun outputs(pixels: Pixels, timer: StageTimer?): Map<String, FloatArray> {
        if (runs++ == 0) phone.memory += 5_000_000
        if (runs == 3) phone.memory += 1_000_000
        timer.measure(Stage.PREPROCESSING) { phone.pass(0.25) }
        timer.measure(Stage.TENSOR) { phone.pass(0.125) }
        timer.measure(Stage.INFERENCE) { phone.pass(if (runs == 1) 2 * milliseconds else milliseconds + runs % 2) }
        timer.measure(Stage.DECODING) { phone.pass(0.0625) }
        phone.log += "run $name"
        return mapOf("logits" to FloatArray(10) { it.toFloat() })
    }

    override fun close() {
        phone.loaded--
        phone.log += "close $name"
    }
}

/** A camera's frame for a model of 2 x 2 pixels and the classes of the fixtures. */
fun cameraFrame(): FrameSource {
    val file = Shared.fixtures.resolve("goldens/shvit_s1-64-executorch-fp32.manifest.json")
    val manifest = Manifest.read(file.readText(), file.name)
    return FrameSource.camera(Preprocessor(Preprocessing(2, 2)), OutputDecoder(manifest))
}

fun contestant(
    phone: SimulatedPhone,
    name: String,
    milliseconds: Double,
    threads: Int = 2,
    frame: FrameSource? = null,
    golden: (() -> Unit)? = null,
): Contestant = Contestant(
    name = name,
    engine = "simulated",
    precision = "fp32",
    artifactSha256 = "8224a0af1dc4b82a0fe293f1256aff92d90b527fdca0e31fa2250c8db4efa6ba",
    pixels = Pixels.ramp(2, 2),
    threads = threads,
    sizeBytes = 24_079_656,
    frame = frame,
    golden = golden?.let { effect ->
        { _ ->
            effect()
            GoldenCheck(1, true, 0.0, true, 0.0, 1.0, Double.POSITIVE_INFINITY, 1)
        }
    },
    load = { SimulatedModel(phone, name, milliseconds) },
)

val reportContext = ReportContext(
    created = "2025-02-14T09:41:00+01:00",
    app = "shvit-core's tests",
    versions = mapOf("android" to "Android 15"),
    device = Device(DeviceKind.PHONE, "simulated", "Android 15", cores = 8, memoryBytes = 8_000_000_000),
    fixture = true,
)
