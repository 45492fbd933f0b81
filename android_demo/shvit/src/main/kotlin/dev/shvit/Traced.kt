package dev.shvit

import android.os.Trace

/**
 * Runs a block as a section of its own in a system trace (Perfetto, Android Studio's profiler).
 *
 * @param name of the section; at most 127 characters.
 */
inline fun <T> traced(name: String, block: () -> T): T {
    Trace.beginSection(name)
    return try {
        block()
    } finally {
        Trace.endSection()
    }
}
