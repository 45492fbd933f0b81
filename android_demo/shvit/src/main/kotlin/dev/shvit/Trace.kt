package dev.shvit

import android.os.Trace

/**
 * Runs a block as a section in a system trace (Perfetto, Android Studio's profiler).
 *
 * @param name The section's name, at most 127 characters.
 */
inline fun <T> trace(name: String, block: () -> T): T {
    Trace.beginSection(name)
    return try {
        block()
    } finally {
        Trace.endSection()
    }
}
