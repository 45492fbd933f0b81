package dev.shvit

import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.Debug
import android.os.PowerManager
import android.os.SystemClock
import android.view.Window
import dev.shvit.core.documents.Device
import dev.shvit.core.documents.DeviceKind
import dev.shvit.core.documents.ThermalState
import dev.shvit.core.measure.Clock
import dev.shvit.core.measure.Phone
import dev.shvit.core.measure.ThermalReading
import dev.shvit.core.measure.peakMemoryBytes
import java.io.File
import java.io.IOException

/** Nanoseconds since the phone started, including sleep. */
val monotonic: Clock = Clock { SystemClock.elapsedRealtimeNanos() }

/** The conditions of the phone and of this process, as Android reports them. */
class AndroidPhone(context: Context) : Phone {
    private val context = context.applicationContext
    private val power = this.context.getSystemService(PowerManager::class.java)

    /** The device that a report describes. */
    val device: Device
        get() = Device(
            kind = DeviceKind.PHONE,
            model = Build.MODEL,
            system = system,
            cores = Runtime.getRuntime().availableProcessors(),
            memoryBytes = totalMemory(),
            name = "${Build.MANUFACTURER} ${Build.MODEL}",
        )

    /** Android's version and API level. */
    val system: String get() = "Android ${Build.VERSION.RELEASE} (API ${Build.VERSION.SDK_INT})"

    /** The processor's model code; null before Android 12. */
    val processor: String?
        get() = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
            "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}"
        } else {
            null
        }

    override fun lowPower(): Boolean? = power?.isPowerSaveMode

    /** Whether [sustainPerformance] switched the mode on; null if it was never called. */
    @Volatile
    private var sustained: Boolean? = null

    override fun sustainedPerformance(): Boolean? = sustained

    /**
     * Switches Android's sustained performance mode for a window on or off, if the phone has it: clocks stay at a level
     * that the phone can hold while the window is shown. Call it on the main thread.
     */
    fun sustainPerformance(window: Window, wanted: Boolean) {
        val supported = power?.isSustainedPerformanceModeSupported == true
        if (supported) window.setSustainedPerformanceMode(wanted)
        // A run that is over keeps what it was measured with.
        if (wanted) sustained = supported
    }

    override fun battery(): Double? {
        val state = batteryState() ?: return null
        val level = state.getIntExtra(BatteryManager.EXTRA_LEVEL, -1)
        val scale = state.getIntExtra(BatteryManager.EXTRA_SCALE, -1)
        return if (level in 0..scale && scale > 0) level.toDouble() / scale else null
    }

    override fun charging(): Boolean? {
        val plugged = batteryState()?.getIntExtra(BatteryManager.EXTRA_PLUGGED, -1) ?: return null
        return if (plugged < 0) null else plugged > 0
    }

    /** The thermal state (Android 10 or newer), with headroom (Android 11 or newer, at most once per second). */
    override fun thermal(): ThermalReading? {
        val power = power ?: return null
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return null
        return ThermalReading(ThermalState.fromAndroid(power.currentThermalStatus), headroom(power))
    }

    /** The PSS: the process's own pages, and its share of shared ones. */
    override fun memoryBytes(): Long? = Debug.getPss().takeIf { it > 0 }?.let { it * KIBIBYTE }

    /** Returns the process's peak resident memory, which counts shared pages in full. */
    fun peakMemoryBytes(): Long? = try {
        peakMemoryBytes(File("/proc/self/status").readText())
    } catch (_: IOException) {
        null
    }

    private fun headroom(power: PowerManager): Double? {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) return null
        // NaN if the phone does not know it, or was asked within the last second.
        return power.getThermalHeadroom(NOW).toDouble().takeIf(Double::isFinite)
    }

    /** Returns the last broadcast battery state. Without a receiver, there is nothing to unregister. */
    private fun batteryState(): Intent? =
        context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))

    private fun totalMemory(): Long? {
        val memory = ActivityManager.MemoryInfo()
        context.getSystemService(ActivityManager::class.java)?.getMemoryInfo(memory) ?: return null
        return memory.totalMem
    }

    private companion object {
        const val KIBIBYTE = 1024L

        /** The forecast's distance, in seconds. */
        const val NOW = 0
    }
}
