package dev.shvit.core.documents

import dev.shvit.core.json.Fields
import dev.shvit.core.json.Fields.Companion.POSITIVE
import dev.shvit.core.json.Fields.Companion.SHARE
import dev.shvit.core.json.Json
import dev.shvit.core.json.json
import dev.shvit.core.json.jsonObject
import dev.shvit.core.json.word

/**
 * The thermal state at a moment.
 *
 * @property seconds Seconds since the measurement began.
 * @property headroom Android's thermal headroom: severe throttling begins at 1; null if unknown.
 */
data class ThermalSample(
    val seconds: Double,
    val state: ThermalState,
    val headroom: Double? = null,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "seconds" to json(seconds),
        "state" to json(state),
        "headroom" to json(headroom),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): ThermalSample = ThermalSample(
            fields.number("seconds", POSITIVE),
            fields.word("state"),
            fields.numberOrNull("headroom"),
            fields.unknown(),
        )
    }
}

/**
 * The phone's conditions during the measurement; a value is null if unknown.
 *
 * @property lowPower Whether a power-saving mode was on.
 * @property battery The battery charge, from 0 to 1.
 * @property charging Whether the phone was plugged in.
 * @property thermal The thermal states before, during and after the measurement, in order of time.
 * @property waitedS How long the run waited for the phone to cool before it started, in seconds.
 * @property sustainedPerformance Whether Android's sustained performance mode was on.
 */
data class Conditions(
    val lowPower: Boolean? = null,
    val battery: Double? = null,
    val charging: Boolean? = null,
    val thermal: List<ThermalSample> = emptyList(),
    val waitedS: Double? = null,
    val sustainedPerformance: Boolean? = null,
    val unknown: Map<String, Json> = emptyMap(),
) {
    internal fun json(): Json.Object = jsonObject(
        "low_power" to json(lowPower),
        "battery" to json(battery),
        "charging" to json(charging),
        "thermal" to json(thermal) { it.json() },
        "waited_s" to json(waitedS),
        "sustained_performance" to json(sustainedPerformance),
        unknown = unknown,
    )

    companion object {
        internal fun of(fields: Fields): Conditions = Conditions(
            fields.flagOrNull("low_power"),
            fields.numberOrNull("battery", SHARE),
            fields.flagOrNull("charging"),
            fields.orElse("thermal", emptyList()) { fields.children(it, ThermalSample::of) },
            fields.numberOrNull("waited_s", POSITIVE),
            fields.flagOrNull("sustained_performance"),
            fields.unknown(),
        )
    }
}
