package dev.shvit.core.measure

/**
 * The lines that tell a computer how a benchmark goes. `shvit-mobile phone` follows them; the last one is the report's
 * path, or that there is no report.
 *
 * @property runId The identity that the computer gave the run, at the start of every line; null if there is none.
 * @property write Receives each line.
 */
class RunLog(private val runId: String?, private val write: (String) -> Unit) {
    /** Tells how far the benchmark is. */
    fun progress(progress: Progress) = line("${(100 * progress.done).toInt()} % ${progress.what}")

    /** Tells what could not be measured. More may follow. */
    fun error(message: String) = line("error: $message")

    /** Ends the log with the path of the report. */
    fun report(path: String) = line("report: $path")

    /** Ends the log without a report. */
    fun noReport() = line("no report")

    /** Writes a text as a single line. */
    private fun line(text: String) {
        val joined = text.lines().map(String::trim).filter(String::isNotEmpty).joinToString(" ")
        write(if (runId == null) joined else "[$runId] $joined")
    }
}
