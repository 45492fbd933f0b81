package dev.shvit.core.measure

import dev.shvit.core.WrongSettings

/**
 * What a person or a script asks to be measured.
 *
 * @property models by name; null for all.
 * @property threads each model is measured on each of these numbers of threads, in this order.
 * @property report the name of the report's file, without its suffix; null for one of the time.
 */
data class BenchmarkRequest(
    val models: List<String>? = null,
    val threads: List<Int> = listOf(1),
    val protocol: Protocol = Protocol(),
    val report: String? = null,
) {
    companion object {
        /** The option that asks for a benchmark, and of which models. */
        const val BENCHMARK = "benchmark"

        private const val ITERATIONS = "iterations"
        private const val SECONDS = "seconds"
        private const val WARM_UP = "warm_up"
        private const val ROUNDS = "rounds"
        private const val SUSTAINED = "sustained"
        private const val THREADS = "threads"
        private const val REPORT = "report"
        private const val ALL = "all"
        private val OPTIONS =
            listOf(BENCHMARK, ITERATIONS, SECONDS, WARM_UP, ROUNDS, SUSTAINED, THREADS, REPORT)
        private val FILE_NAME = Regex("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

        /**
         * What the extras of an intent ask for: `am start ... --es benchmark all --ei iterations 200`.
         *
         * Numbers may come as numbers or as text. Names with a dot are the system's own and are left alone.
         *
         * @return null where they ask for no benchmark.
         * @throws WrongSettings an option is unknown, or its value makes no sense.
         */
        fun of(extras: Map<String, Any?>): BenchmarkRequest? {
            val options = extras.filterKeys { '.' !in it }.mapValues { it.value.toString().trim() }
            (options.keys - OPTIONS).minOrNull()?.let { unknown ->
                val known = OPTIONS.joinToString()
                throw WrongSettings("'$unknown' is not an option of a benchmark.", "Options: $known.")
            }
            val models = options[BENCHMARK] ?: return if (options.isEmpty()) null else throw WrongSettings(
                "${options.keys.sorted().joinToString()} is given, and no benchmark is asked for.",
                "The models to measure are named, or all of them.",
                "Add: --es $BENCHMARK $ALL",
            )
            return BenchmarkRequest(
                models = if (models == ALL) null else listed(BENCHMARK, models),
                threads = options[THREADS]?.let { listed(THREADS, it).map { one -> whole(THREADS, one) } } ?: listOf(1),
                protocol = protocol(options),
                report = options[REPORT]?.also(::refuseOtherThanFileName),
            )
        }

        private fun protocol(options: Map<String, String>): Protocol {
            if (ITERATIONS in options && SECONDS in options) {
                throw WrongSettings(
                    "Both $ITERATIONS and $SECONDS are given.",
                    "A turn ends after so many inferences or after a time.",
                    "Choose one.",
                )
            }
            val standard = Protocol()
            return Protocol(
                warmUp = options[WARM_UP]?.let { whole(WARM_UP, it) } ?: standard.warmUp,
                turn = options[ITERATIONS]?.let { Turn.Iterations(whole(ITERATIONS, it)) }
                    ?: options[SECONDS]?.let { Turn.Seconds(number(SECONDS, it)) }
                    ?: standard.turn,
                rounds = options[ROUNDS]?.let { whole(ROUNDS, it) } ?: standard.rounds,
                sustainedSeconds = options[SUSTAINED]?.let { number(SUSTAINED, it) } ?: standard.sustainedSeconds,
            )
        }

        private fun listed(option: String, text: String): List<String> =
            text.split(',').map(String::trim).filter(String::isNotEmpty).distinct().ifEmpty {
                throw WrongSettings("$option is empty.", "At least one is needed; commas stand between several.")
            }

        private fun whole(option: String, text: String): Int =
            text.toIntOrNull() ?: throw WrongSettings("$option is '$text'.", "It should be a whole number.")

        private fun number(option: String, text: String): Double =
            text.toDoubleOrNull() ?: throw WrongSettings("$option is '$text'.", "It should be a number of seconds.")

        private fun refuseOtherThanFileName(name: String) {
            if (!FILE_NAME.matches(name)) {
                throw WrongSettings(
                    "A report cannot be named '$name'.",
                    "A name has letters, digits, dots, hyphens and underscores, at most 64, and no folder.",
                )
            }
        }
    }
}
