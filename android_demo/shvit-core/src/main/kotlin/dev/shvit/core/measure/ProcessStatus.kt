package dev.shvit.core.measure

/**
 * The largest resident memory that a process ever had, in bytes; null where its status does not tell.
 *
 * @param status the text of Linux's `/proc/self/status`.
 */
fun peakMemoryBytes(status: String): Long? =
    PEAK.find(status)?.let { (it.groupValues[1].toLongOrNull() ?: return null) * 1024 }

private val PEAK = Regex("""^VmHWM:\s*(\d+) kB$""", RegexOption.MULTILINE)
