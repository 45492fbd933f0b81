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
import dev.shvit.core.documents.Device
import dev.shvit.core.documents.DeviceKind
import dev.shvit.core.documents.ThermalState
import dev.shvit.core.measure.Clock
import dev.shvit.core.measure.Heat
import dev.shvit.core.measure.Phone
import dev.shvit.core.measure.peakMemoryBytes
import java.io.File
import java.io.IOException

/** Nanoseconds since the phone started, also while it sleeps. */
val monotonic: Clock = Clock { SystemClock.elapsedRealtimeNanos() }

/** What Android tells of the phone and of this process. */
class AndroidPhone(context: Context) : Phone {
    private val context = context.applicationContext
    private val power = this.context.getSystemService(PowerManager::class.java)

    /** Where a measurement runs, for its report. */
    val device: Device
        get() = Device(
            kind = DeviceKind.PHONE,
            model = Build.MODEL,
            system = system,
            cores = Runtime.getRuntime().availableProcessors(),
            memoryBytes = totalMemory(),
            name = "${Build.MANUFACTURER} ${Build.MODEL}",
        )

    /** Android's version, and its API level. */
    val system: String get() = "Android ${Build.VERSION.RELEASE} (API ${Build.VERSION.SDK_INT})"

    /** The processor, by its maker's name; null before Android 12. */
    val processor: String?
        get() = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
            "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}"
        } else {
            null
        }

    override fun lowPower(): Boolean? = power?.isPowerSaveMode

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

    /** From Android 10 on; the headroom from Android 11 on, and at most once a second. */
    override fun heat(): Heat? {
        val power = power ?: return null
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return null
        return Heat(ThermalState.ofAndroid(power.currentThermalStatus), headroom(power))
    }

    /** PSS: the process's own pages, and its share of those that it shares. */
    override fun memoryBytes(): Long? = Debug.getPss().takeIf { it > 0 }?.let { it * KIBIBYTE }

    /** The largest resident memory that this process ever had, which counts shared pages in full. */
    fun peakMemoryBytes(): Long? = try {
        peakMemoryBytes(File("/proc/self/status").readText())
    } catch (_: IOException) {
        null
    }

    private fun headroom(power: PowerManager): Double? {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) return null
        // Not a number where the phone does not know, or was asked within the last second.
        return power.getThermalHeadroom(NOW).toDouble().takeIf(Double::isFinite)
    }

    /** The last state that was broadcast; no receiver, so nothing to take back. */
    private fun batteryState(): Intent? =
        context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))

    private fun totalMemory(): Long? {
        val memory = ActivityManager.MemoryInfo()
        context.getSystemService(ActivityManager::class.java)?.getMemoryInfo(memory) ?: return null
        return memory.totalMem
    }

    private companion object {
        const val KIBIBYTE = 1024L

        /** Seconds ahead. */
        const val NOW = 0
    }
}
