package dev.shvit.core.documents

import dev.shvit.core.Shared
import dev.shvit.core.ShvitException.InvalidDocument
import dev.shvit.core.ShvitException.UnsupportedDocument
import dev.shvit.core.images.ResizeMode
import dev.shvit.core.json.Json
import dev.shvit.core.json.text
import java.io.File
import java.math.BigDecimal
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Tests with the fixtures of `tools/write_fixtures.py`, which Python also reads. */
class FixturesTest {
    private val fixtures = Shared.fixtures

    private val rewritten: Map<String, (File) -> String> = mapOf(
        "device_report" to { file -> DeviceReport.read(file.readText(), file.name).text() },
        "manifest" to { file -> Manifest.read(file.readText(), file.name).text() },
        "goldens" to { file -> Goldens.read(file.readText(), file.name).text() },
    )

    private fun rewritten(kind: String, file: File): String = rewritten.getValue(kind)(file)

    @Test
    fun `a document that is read and written again is the same`() {
        val reports = listOf("device_report", "device_report_earlier", "device_report_other_timing").flatMap(::jsonFiles)
        val documents = reports.map { "device_report" to it } +
            jsonFiles("manifest").map { "manifest" to it } +
            jsonFiles("goldens").map { (if (it.name == Goldens.FILE) "goldens" else "manifest") to it }
        assertEquals(setOf("device_report", "manifest", "goldens"), documents.map { it.first }.toSet())
        assertTrue(documents.size >= 14, "only ${documents.size} fixtures")
        for ((kind, file) in documents) assertSameJson(file, rewritten(kind, file))
    }

    @Test
    fun `unknown fields of a newer minor version are kept`() {
        for (kind in rewritten.keys) {
            val file = fixtures.resolve("newer_minor/$kind.json")
            val written = rewritten(kind, file)
            assertTrue("added_later" in written, "$kind lost its new field")
            assertSameJson(file, written)
        }
    }

    @Test
    fun `every invalid document is rejected with its field`() {
        val cases = Shared.fields(fixtures.resolve("invalid/cases.json")).children("cases") {
            Triple(it.text("file"), it.text("document"), it.text("why"))
        }.filter { (_, kind, _) -> kind in rewritten }
        assertTrue(cases.size >= 30, "only ${cases.size} cases")
        for ((path, kind, why) in cases) {
            val expected = if ("newer-major" in path) UnsupportedDocument::class else InvalidDocument::class
            val error = assertFailsWith(expected, path) { rewritten(kind, fixtures.resolve("invalid/$path")) }
            assertTrue(why in error.what, "$path: '${error.what}' does not say '$why'")
            assertTrue(error.why.isNotEmpty(), path)
        }
    }

    @Test
    fun `an error names the file, its kind and the field`() {
        val file = fixtures.resolve("invalid/device_report/negative-time.json")
        val error = assertFailsWith<InvalidDocument> { DeviceReport.read(file.readText(), "run.json") }
        assertEquals("run.json is not a device report: results.0.load_ms: -1.5 is below 0.0.", error.what)
        assertEquals("The file may be damaged or edited by hand.", error.why)
    }

    @Test
    fun `a newer major version is rejected with a hint`() {
        val file = fixtures.resolve("invalid/manifest/newer-major.json")
        val error = assertFailsWith<UnsupportedDocument> { Manifest.read(file.readText(), "shvit.manifest.json") }
        assertEquals("shvit.manifest.json is a manifest of version 2.0.", error.what)
        assertEquals("Update the app.", error.hint)
    }

    @Test
    fun `a manifest without a resize mode covers`() {
        val manifest = readChanged { it - "resize_mode" }
        assertEquals(ResizeMode.COVER, manifest.preprocessing.resizeMode)
        assertEquals(ResizeMode.SQUASH, readChanged { it + ("resize_mode" to Json.Text("squash")) }.preprocessing.resizeMode)
    }

    @Test
    fun `a manifest without a task is a classifier's, and that of an unknown task is rejected`() {
        assertEquals(Task.CLASSIFY, readChanged({ it - "task" }) { it }.task)
        val error = assertFailsWith<UnsupportedDocument> {
            readChanged({ it + ("task" to Json.Text("segment")) - "output" }) { it }
        }
        assertEquals("a.json is a manifest of the unknown task 'segment'.", error.what)
        assertTrue("classify, features, detect" in error.why && "--task classify" in error.hint)
    }

    @Test
    fun `outputs and boxes that contradict the task are rejected`() {
        val file = fixtures.resolve("goldens/detector-64-executorch-fp32.manifest.json")
        val detector = Manifest.read(file.readText(), file.name)
        fun fault(changed: Manifest): String? = try {
            Manifest.read(changed.text(), "a.json")
            null
        } catch (reason: InvalidDocument) {
            reason.what
        }
        val maps = detector.output.maps
        assertEquals(null, fault(detector.copy(task = Task.FEATURES, detection = null)))
        assertTrue("output" in fault(detector.copy(task = Task.CLASSIFY)).orEmpty())
        assertTrue("output" in fault(detector.copy(output = OutputContract(null))).orEmpty())
        assertTrue("output" in fault(detector.copy(output = OutputContract("logits", maps = maps))).orEmpty())
        assertTrue("detection" in fault(detector.copy(task = Task.FEATURES)).orEmpty())
        assertTrue("detection" in fault(detector.copy(detection = null)).orEmpty())
        assertTrue("scores and boxes" in fault(detector.copy(labels = listOf("cat", "dog", "fish"))).orEmpty())
        val swapped = OutputContract(null, maps = maps.reversed())
        assertTrue("scores and boxes" in fault(detector.copy(output = swapped)).orEmpty())
    }

    @Test
    fun `a validated detector, and a program of several sizes, are read and written again with all figures`() {
        val file = fixtures.resolve("goldens/detector-64-executorch-fp32.manifest.json")
        val drift = Json.parse(
            """
            {"artifact": "a.pte", "target": "executorch", "precision": "fp32", "how": "native", "engine": "e",
             "images": 3, "sqnr_db": 40.5, "max_abs_error": 0.5,
             "maps": [{"name": "scores16", "sqnr_db": 40.5, "cosine": 0.9, "worst_channel": 1,
                       "worst_channel_db": 30.5, "max_abs_error": 0.5}],
             "boxes": {"score_threshold": 0.3, "float_boxes": 4},
             "average_precision": {"true_boxes": 9, "float_ap50": 20.5, "drop_interval": [0.5, 1.5]}}
            """,
        )
        val sizes = Json.parse("""[{"method": "forward", "size": [64, 96]}]""")
        val fields = (Json.parse(file.readText()) as Json.Object).fields + mapOf("drift" to drift, "sizes" to sizes)
        val written = (Json.parse(Manifest.read(Json.Object(fields).text(), "a.json").text()) as Json.Object).fields
        assertEquals(byValue(sizes), byValue(written.getValue("sizes")))
        val again = (written.getValue("drift") as Json.Object).fields
        for (name in listOf("maps", "boxes", "average_precision")) {
            assertEquals(byValue((drift as Json.Object).fields.getValue(name)), byValue(again.getValue(name)), name)
        }
    }

    @Test
    fun `an unknown resize mode is rejected with the known ones`() {
        val error = assertFailsWith<InvalidDocument> { readChanged { it + ("resize_mode" to Json.Text("stretch")) } }
        assertEquals(
            "a.json is not a manifest: preprocessing.resize_mode: 'stretch' is not one of cover, squash, letterbox.",
            error.what,
        )
    }

    @Test
    fun `an unknown field of the preprocessing is rejected in a newer version too`() {
        val error = assertFailsWith<InvalidDocument> {
            readChanged({ it + ("schema_version" to Json.Text("1.9")) }) { it + ("gamma" to Json.Number("2.2")) }
        }
        assertTrue("preprocessing.gamma" in error.what, error.what)
    }

    @Test
    fun `a manifest may contain the checksum of its content`() {
        fun read(checksum: String) = readChanged({ it + ("content_sha256" to Json.Text(checksum)) }) { it }
        val checksum = "0123456789abcdef".repeat(4)
        assertEquals(checksum, read(checksum).contentSha256)
        assertTrue(checksum in read(checksum).text())
        val without = readChanged({ it - "content_sha256" }) { it }
        assertEquals(null, without.contentSha256)
        assertTrue("content_sha256" !in without.text())
        for (wrong in listOf("", checksum.drop(1), checksum.uppercase())) {
            assertTrue("content_sha256" in assertFailsWith<InvalidDocument> { read(wrong) }.what)
        }
    }

    /** Reads a manifest with changed fields: its own, and those of its preprocessing. */
    private fun readChanged(
        own: (Map<String, Json>) -> Map<String, Json> = { it },
        preprocessing: (Map<String, Json>) -> Map<String, Json>,
    ): Manifest {
        val file = fixtures.resolve("manifest/shvit_s1-224-executorch-int8.manifest.json")
        val fields = (Json.parse(file.readText()) as Json.Object).fields
        val inner = (fields.getValue("preprocessing") as Json.Object).fields
        val changed = own(fields + ("preprocessing" to Json.Object(preprocessing(inner))))
        return Manifest.read(Json.Object(changed).text(), "a.json")
    }

    @Test
    fun `a text that is not a JSON object is rejected`() {
        assertEquals(
            "a.json is not a manifest: line 2: a value is expected.",
            assertFailsWith<InvalidDocument> { Manifest.read("{\n \"kind\": }", "a.json") }.what,
        )
        assertEquals("a.json is not a manifest.", assertFailsWith<InvalidDocument> { Manifest.read("[]", "a.json") }.what)
    }

    private fun jsonFiles(folder: String): List<File> =
        fixtures.resolve(folder).walk().filter { it.extension == "json" }.sorted().toList()

    private fun assertSameJson(file: File, written: String) =
        assertEquals(byValue(Json.parse(file.readText())), byValue(Json.parse(written)), file.path)

    /** Python and Kotlin write some numbers differently, 1e-05 and 1.0E-5, and may leave null out. */
    private fun byValue(json: Json): Any? = when (json) {
        is Json.Object -> json.fields.filterValues { it != Json.Null }.mapValues { byValue(it.value) }
        is Json.Array -> json.items.map(::byValue)
        is Json.Number -> BigDecimal(json.literal).stripTrailingZeros()
        else -> json
    }
}
