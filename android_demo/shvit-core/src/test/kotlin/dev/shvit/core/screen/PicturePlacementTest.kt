package dev.shvit.core.screen

import dev.shvit.core.Shared
import dev.shvit.core.detection.Box
import kotlin.test.Test
import kotlin.test.assertEquals

/** Tests against `schemas/vectors/placements.json`. */
class PicturePlacementTest {
    private class Case(
        val picture: Pair<Int, Int>,
        val view: Pair<Int, Int>,
        val scaling: Scaling,
        val turns: Int,
        val mirrored: Boolean,
        val box: List<Double>,
        val expected: List<Double>,
    )

    private val cases = Shared.fields(Shared.vectors.resolve("placements.json")).children("cases") { fields ->
        Case(
            fields.child("picture") { it.count("width") to it.count("height") },
            fields.child("view") { it.count("width") to it.count("height") },
            Scaling.valueOf(fields.text("scaling").uppercase()),
            fields.count("quarter_turns"),
            fields.flag("mirrored"),
            fields.numbers("box"),
            fields.numbers("expected"),
        )
    }

    @Test
    fun `boxes lie in views where the vectors say`() {
        assertEquals(64, cases.size)
        for (case in cases) {
            val (left, top, right, bottom) = case.box.map(Double::toFloat)
            for (turns in listOf(case.turns, case.turns - 4, case.turns + 4)) {
                val placement =
                    PicturePlacement(case.picture.first, case.picture.second, case.scaling, turns, case.mirrored)
                val place = placement.place(Box(0, 1f, left, top, right, bottom), case.view.first, case.view.second)
                val sides = listOf(place.left, place.top, place.right, place.bottom)
                for ((actual, expected) in sides.zip(case.expected)) assertEquals(expected, actual, 1e-3, "$placement")
            }
        }
    }
}
