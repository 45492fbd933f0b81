package dev.shvit.core.measure

/**
 * Returns a process's peak resident memory in bytes; null if its status does not contain it.
 *
 * @param status The text of Linux's `/proc/self/status`.
 */
fun peakMemoryBytes(status: String): Long? =
    PEAK.find(status)?.let { (it.groupValues[1].toLongOrNull() ?: return null) * 1024 }

private val PEAK = Regex("""^VmHWM:\s*(\d+) kB$""", RegexOption.MULTILINE)
