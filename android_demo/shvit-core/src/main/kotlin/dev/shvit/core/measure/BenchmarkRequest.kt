package dev.shvit.core.measure

import dev.shvit.core.ShvitException.InvalidSettings

/**
 * A benchmark that a person or a script asks for.
 *
 * @property models The names of the models; null for all.
 * @property threads The numbers of threads; each model is measured with each of them, in this order.
 * @property report The report's file name without suffix (default: the run's identity, or the current time).
 * @property runId The identity of the run, which a computer chooses; it starts every line of the log.
 */
data class BenchmarkRequest(
    val models: List<String>? = null,
    val threads: List<Int> = listOf(1),
    val protocol: Protocol = Protocol(),
    val report: String? = null,
    val runId: String? = null,
) {
    companion object {
        /** The option that starts a benchmark and names the models. */
        const val BENCHMARK = "benchmark"

        /** The option with the identity of the run. */
        const val RUN_ID = "run_id"

        private const val ITERATIONS = "iterations"
        private const val SECONDS = "seconds"
        private const val WARM_UP = "warm_up"
        private const val WARM_UP_SECONDS = "warm_up_seconds"
        private const val ALLOW_LOW_POWER = "allow_low_power"
        private const val ALLOW_HEAT = "allow_heat"
        private const val ROUNDS = "rounds"
        private const val SUSTAINED = "sustained"
        private const val THREADS = "threads"
        private const val REPORT = "report"
        private const val ALL = "all"
        private val OPTIONS = listOf(
            *arrayOf(BENCHMARK, ITERATIONS, SECONDS, WARM_UP, WARM_UP_SECONDS, ROUNDS, SUSTAINED, THREADS),
            *arrayOf(ALLOW_LOW_POWER, ALLOW_HEAT, REPORT, RUN_ID),
        )
        private val FILE_NAME = Regex("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

        /**
         * Parses the extras of an intent: `am start ... --es benchmark all --ei iterations 200`.
         *
         * Numbers may be numbers or text. Names with a dot belong to the system and are ignored.
         *
         * @return The request; null if the extras do not ask for a benchmark.
         * @throws InvalidSettings If an option is unknown, or its value is invalid.
         */
        fun of(extras: Map<String, Any?>): BenchmarkRequest? {
            val options = extras.filterKeys { '.' !in it }.mapValues { it.value.toString().trim() }
            (options.keys - OPTIONS).minOrNull()?.let { unknown ->
                val known = OPTIONS.joinToString()
                throw InvalidSettings("'$unknown' is not an option of a benchmark.", "Options: $known.")
            }
            val models = options[BENCHMARK] ?: return if (options.isEmpty()) null else throw InvalidSettings(
                "${options.keys.sorted().joinToString()} is set without $BENCHMARK.",
                "The option $BENCHMARK names the models to measure, or all.",
                "Add: --es $BENCHMARK $ALL",
            )
            return BenchmarkRequest(
                models = if (models == ALL) null else splitList(BENCHMARK, models),
                threads = options[THREADS]?.let { list -> splitList(THREADS, list).map { whole(THREADS, it) } }
                    ?: listOf(1),
                protocol = protocol(options),
                report = (options[REPORT] ?: options[RUN_ID])?.also(::refuseOtherThanFileName),
                runId = options[RUN_ID]?.also(::refuseOtherThanFileName),
            )
        }

        private fun protocol(options: Map<String, String>): Protocol {
            val standard = Protocol()
            return Protocol(
                warmUp = turn(options, WARM_UP, WARM_UP_SECONDS, "a warm-up") ?: standard.warmUp,
                turn = turn(options, ITERATIONS, SECONDS, "a turn") ?: standard.turn,
                rounds = options[ROUNDS]?.let { whole(ROUNDS, it) } ?: standard.rounds,
                sustainedSeconds = options[SUSTAINED]?.let { number(SUSTAINED, it) } ?: standard.sustainedSeconds,
                allowLowPower = options[ALLOW_LOW_POWER]?.let { flag(ALLOW_LOW_POWER, it) } ?: false,
                allowHeat = options[ALLOW_HEAT]?.let { flag(ALLOW_HEAT, it) } ?: false,
            )
        }

        /** Returns the length of a turn, from one of the two options that set it; null without either. */
        private fun turn(options: Map<String, String>, count: String, seconds: String, what: String): Turn? {
            if (count in options && seconds in options) {
                throw InvalidSettings(
                    "$count and $seconds cannot be combined.",
                    "Each sets the length of $what.",
                    "Use one of them.",
                )
            }
            return options[count]?.let { Turn.Iterations(whole(count, it)) }
                ?: options[seconds]?.let { Turn.Seconds(number(seconds, it)) }
        }

        private fun splitList(option: String, text: String): List<String> =
            text.split(',').map(String::trim).filter(String::isNotEmpty).distinct().ifEmpty {
                throw InvalidSettings("$option is empty.", "List at least one value, separated by commas.")
            }

        private fun whole(option: String, text: String): Int =
            text.toIntOrNull() ?: throw InvalidSettings("$option is '$text'.", "It must be a whole number.")

        private fun flag(option: String, text: String): Boolean = text.toBooleanStrictOrNull()
            ?: throw InvalidSettings("$option is '$text'.", "It must be true or false.")

        private fun number(option: String, text: String): Double =
            text.toDoubleOrNull() ?: throw InvalidSettings("$option is '$text'.", "It must be a number of seconds.")

        private fun refuseOtherThanFileName(name: String) {
            if (!FILE_NAME.matches(name)) {
                throw InvalidSettings(
                    "'$name' is not a valid name for a report.",
                    "A name has at most 64 letters, digits, dots, hyphens and underscores, and no folder.",
                )
            }
        }
    }
}
