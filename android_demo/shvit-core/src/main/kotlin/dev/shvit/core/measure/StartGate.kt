package dev.shvit.core.measure

import dev.shvit.core.ShvitException.LowPowerMode
import dev.shvit.core.ShvitException.PhoneTooWarm
import dev.shvit.core.documents.ThermalState

/** The phone when a benchmark starts: how long that waited, in seconds, and what was read then. */
internal class Start(val waitedS: Double, val lowPower: Boolean?, val thermal: ThermalReading?)

/** Decides whether a phone is in a state in which a benchmark measures the models, and not the state. */
internal class StartGate(private val protocol: Protocol, private val phone: Phone, private val sleep: Sleep) {
    /**
     * Waits for the phone to cool, and returns its conditions then.
     *
     * @param waiting Called before each wait.
     * @throws LowPowerMode If a power-saving mode is on.
     * @throws PhoneTooWarm If the phone did not cool in time. A phone that does not report its state is let through.
     */
    fun enter(waiting: () -> Unit): Start {
        val lowPower = phone.lowPower()
        refuse(lowPower, "A power-saving mode is on.")
        var waited = 0L
        while (true) {
            val thermal = phone.thermal()
            val state = thermal?.state ?: ThermalState.NOMINAL
            if (state == ThermalState.NOMINAL || protocol.allowHeat) {
                return Start(waited / MILLISECONDS.toDouble(), lowPower, thermal)
            }
            if (waited >= protocol.coolingSeconds * MILLISECONDS) {
                throw PhoneTooWarm(
                    "The phone's thermal state is ${state.word}.",
                    "A warm phone throttles. It did not cool within ${waited / MILLISECONDS} s.",
                    "Let it cool, without a case and charger, or set allow_heat.",
                )
            }
            waiting()
            sleep.milliseconds(STEP)
            waited += STEP
        }
    }

    /** Throws [LowPowerMode] if such a mode was switched on since, and is not allowed. */
    fun leave() = refuse(phone.lowPower(), "A power-saving mode was switched on during the measurement.")

    private fun refuse(lowPower: Boolean?, what: String) {
        if (protocol.allowLowPower || lowPower != true) return
        throw LowPowerMode(
            what,
            "It slows the processor down, so that latencies mean little.",
            "Switch it off, or set allow_low_power.",
        )
    }

    private companion object {
        const val MILLISECONDS = 1000
        const val STEP = 1000L
    }
}
