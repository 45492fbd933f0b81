package dev.shvit.core.documents

import dev.shvit.core.Shared
import dev.shvit.core.detection.BoxCoding
import dev.shvit.core.detection.Detection
import dev.shvit.core.images.ChannelOrder
import dev.shvit.core.images.Interpolation
import dev.shvit.core.images.Padding
import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.ResizeMode
import dev.shvit.core.json.Json
import dev.shvit.core.measure.Latency
import dev.shvit.core.measure.Stages
import kotlin.test.Test
import kotlin.test.assertEquals

/** Compares the fields of each class with its schema, so that fields added in Python are not missed. */
class SchemasTest {
    @Test
    fun `documents and their parts have the schema's fields`() {
        val lists = listOf("manifest" to MANIFEST, "goldens" to GOLDENS, "device_report" to DEVICE_REPORT)
        for ((name, parts) in lists) {
            val schema = tree(Shared.schemas.resolve("$name.schema.json").readText())
            val definitions = tree(schema, "\$defs")
            val described = definitions.fields.filterKeys { it !in OF_THE_RECIPE && it !in KEPT_AS_JSON }
                .mapValues { tree(it.value, "properties") }
            assertEquals(described.keys, parts.keys, "the parts of $name")
            for ((part, written) in parts) {
                assertEquals(described.getValue(part).fields.keys, written.fields.keys, "$name: $part")
            }
        }
    }

    @Test
    fun `enumerations have the schema's values`() {
        val report = tree(tree(Shared.schemas.resolve("device_report.schema.json").readText()), "\$defs")
        assertEquals(words(report, "ThermalSample", "state"), ThermalState.entries.map { it.word })
        assertEquals(words(report, "DeviceResult", "compute"), Compute.entries.map { it.word })
        assertEquals(words(report, "FramePicture", "format").sorted(), FramePicture.Format.entries.map { it.word }.sorted())
        assertEquals(words(report, "DeviceInfo", "kind"), DeviceKind.entries.map { it.word })
        assertEquals(words(report, "DriftRow", "how"), Execution.entries.map { it.word })
        val manifest = tree(Shared.schemas.resolve("manifest.schema.json").readText())
        assertEquals(words(manifest, "task"), Task.entries.map { it.word })
        assertEquals(words(manifest, "target"), Target.entries.map { it.word })
        assertEquals(words(manifest, "precision"), Precision.entries.map { it.word })
        val definitions = tree(manifest, "\$defs")
        assertEquals(words(definitions, "Detection", "box_coding"), BoxCoding.entries.map { it.word })
        assertEquals(words(definitions, "Preprocessing", "interpolation"), Interpolation.entries.map { it.word })
        assertEquals(words(definitions, "Preprocessing", "channel_order"), ChannelOrder.entries.map { it.word })
        assertEquals(words(definitions, "Preprocessing", "resize_mode"), ResizeMode.entries.map { it.word })
    }

    private fun words(definitions: Json.Object, part: String, field: String): List<String> =
        words(tree(definitions, part), field)

    private fun words(schema: Json.Object, field: String): List<String> {
        val list = tree(tree(schema, "properties"), field).fields.getValue("enum") as Json.Array
        return list.items.map { (it as Json.Text).value }
    }

    private fun tree(text: String): Json.Object = Json.parse(text) as Json.Object

    private fun tree(json: Json, name: String): Json.Object = (json as Json.Object).fields.getValue(name) as Json.Object

    private companion object {
        /** The parts of a recipe, which an app does not read. */
        val OF_THE_RECIPE =
            setOf(
                *arrayOf("Recipe", "ActivationRange", "CalibrationImages", "FineTuning", "EvalMetrics", "PTQPassGain"),
                *arrayOf("ImageUse", "SkippedImages"),
            )

        /** What an app keeps as JSON. */
        val KEPT_AS_JSON = setOf("BoxAgreement", "AveragePrecisionDrift", "InputSize")

        val LETTERBOX = Preprocessing(
            cropRatio = 1.0,
            resizeMode = ResizeMode.LETTERBOX,
            padding = Padding.END,
            paddingValue = listOf(0, 0, 0),
        )
        val MAP = OutputMap("", listOf(1, 1, 1), 1)
        val SAMPLES = OutputSamples("", listOf(0), 0.0)
        val MAP_DRIFT = MapDrift("", 0.0, 1.0, 0, 0.0, 0.0)
        val SHARE = Share(0.5, 0.4, 0.6)
        val ROW = DriftRow(
            artifact = "", target = "", precision = "", how = Execution.NATIVE, engine = "", images = 1,
            agreement = SHARE, sqnrDb = 0.0, maxAbsError = 0.0, meanKl = 0.0, maps = listOf(MAP_DRIFT),
            boxes = Json.Object(emptyMap()), averagePrecision = Json.Object(emptyMap()),
        )
        val DRIFT = mapOf(
            "DriftRow" to ROW.json(),
            "MapDrift" to MAP_DRIFT.json(),
            "ProportionEstimate" to SHARE.json(),
            "McNemar" to McNemar(0, 0, 1.0).json(),
            "EmulatedCPU" to EmulatedCpu("", "", emptyList()).json(),
        )
        val MANIFEST = DRIFT + mapOf(
            "ArtifactFile" to ArtifactFile("", 0, "").json(),
            "Detection" to Detection(listOf(16), BoxCoding.DISTANCES).json(),
            "Delegation" to Delegation("", 0, 0, emptyMap()).json(),
            "RampGolden" to Golden(emptyList(), Execution.NATIVE, 0.0, listOf(SAMPLES), listOf(0.0)).json(),
            "OutputMap" to MAP.json(),
            "OutputSamples" to SAMPLES.json(),
            "GoldensFolder" to GoldensFolder("", "").json(),
            "InputContract" to InputContract("", InputKind.TENSOR, InputValues.PIXELS, emptyList(), "").json(),
            "Inventory" to Inventory(emptyMap(), emptyMap()).json(),
            "OutputContract" to OutputContract("", maps = listOf(MAP)).json(),
            "Preprocessing" to LETTERBOX.json(),
            "ModelProvenance" to Provenance("", 0, "", "", "").json(),
        )
        val GOLDENS = mapOf(
            "GoldenImage" to GoldenImage("", "", "", "", emptyList(), emptyList(), listOf(0.0), listOf(0.0)).json(),
            "OutputSamples" to SAMPLES.json(),
            "Preprocessing" to LETTERBOX.json(),
        )
        val LATENCY = Latency.of(listOf(1.0))
        val DEVICE_REPORT = DRIFT + mapOf(
            "DeviceConditions" to Conditions().json(),
            "DeviceInfo" to Device(DeviceKind.PHONE, "", "", 1).json(),
            "GoldenCheck" to GoldenCheck(1, true, 0.0, true, 0.0, 0.0, 0.0, 1).json(),
            "LatencySummary" to LATENCY.json(),
            "SpeedRatio" to Ratio(1.0, 1.0, 1.0).json(),
            "DeviceResult" to Result(
                name = "", engine = "", precision = "", loadMs = 0.0, firstMs = 0.0, latency = LATENCY,
                samplesMs = emptyList(),
            ).json(),
            "Roofline" to Roof(0.0, "").json(),
            "BenchmarkSettings" to Settings(1, 1, 1, 0, 1, overrides = listOf(Override.HEAT)).json(),
            "FailedContestant" to FailedContestant("", "", error = "").json(),
            "FramePicture" to FramePicture(1, 1, FramePicture.Format.RGB).json(),
            "StageLatencies" to Stages(LATENCY, LATENCY, LATENCY, LATENCY, LATENCY).json(),
            "ThermalSample" to ThermalSample(0.0, ThermalState.FAIR).json(),
            "SustainedWindow" to Window(0.0, 1, 0.0).json(),
        )
    }
}
