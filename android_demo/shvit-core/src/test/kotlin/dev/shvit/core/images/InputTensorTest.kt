package dev.shvit.core.images

import dev.shvit.core.ShvitException.InvalidDocument
import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.ShvitException.UnsupportedInput
import dev.shvit.core.documents.InputContract
import dev.shvit.core.documents.InputKind
import dev.shvit.core.documents.InputValues
import dev.shvit.core.models.sha256
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertSame

/** The SHA-256s are those of the same tensors, float32 in little-endian bytes, as `shvit_mobile.images` makes them. */
class InputTensorTest {
    private val ramp = Pixels.ramp(5, 4)
    private val preprocessing = Preprocessing(height = 5, width = 4)
    private val image = InputContract("image", InputKind.TENSOR, InputValues.PIXELS, listOf(1, 3, 5, 4), "float32")
    private val blocks = image.copy(layout = Layout.SPACE_TO_DEPTH, border = listOf(1.5, 2.0, 3.25))

    private fun fingerprint(values: FloatArray): String {
        val bytes = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
        values.forEach(bytes::putFloat)
        return sha256(bytes.array())
    }

    @Test
    fun `the ramp equals the exporter's`() {
        assertEquals("c7302db91dad0a13ad4822c9c0248bb5a7124cd0f7825f3d85752c5074bf51dd", sha256(ramp.bytes))
    }

    @Test
    fun `pixels are ordered by channel`() {
        val tensor = image.tensor(ramp, preprocessing)
        assertContentEquals(floatArrayOf(0f, 3f, 6f, 9f, 7f), tensor.take(5).toFloatArray())
        assertEquals(50f, tensor[20])
    }

    @Test
    fun `pixels are stacked in blocks with a border`() {
        val tensor = blocks.tensor(ramp, preprocessing)
        assertEquals(12 * 4 * 3, tensor.size)
        assertEquals(
            "09598fa2f9a88703806a2c2dd332dcb29edc730da8f204ba79b30be7a2d3eda1",
            fingerprint(tensor),
        )
    }

    @Test
    fun `normalized values equal the exporter's, as an image and in blocks`() {
        val normalised = image.copy(values = InputValues.NORMALIZED)
        assertEquals(
            "ed9727f4ec5029f249d0ce57ee8f665db34d10a9731834276ce6ec231ca0af63",
            fingerprint(normalised.tensor(ramp, preprocessing)),
        )
        val inBlocks = normalised.copy(layout = Layout.SPACE_TO_DEPTH, border = listOf(0.0, 0.0, 0.0))
        assertEquals(
            "df22eba09d2b6d6f1c3954743d66febb0e26647c5a6a7ddbc937b27cb0729fcc",
            fingerprint(inBlocks.tensor(ramp, preprocessing)),
        )
    }

    @Test
    fun `blocks with a missing or invalid border are rejected`() {
        assertFailsWith<InvalidDocument> { blocks.copy(border = null).tensor(ramp, preprocessing) }
        assertFailsWith<InvalidSettings> { blocks.copy(border = listOf(0.0)).tensor(ramp, preprocessing) }
    }

    @Test
    fun `values of the next image are written into the same array`() {
        for (contract in listOf(image, blocks)) {
            val values = TensorValues(contract, preprocessing)
            val first = values.of(Pixels(5, 4, ByteArray(60) { 9 }))
            assertSame(first, values.of(ramp))
            assertContentEquals(contract.tensor(ramp, preprocessing), first)
        }
    }

    @Test
    fun `pixels of another size are rejected`() {
        assertFailsWith<UnsupportedInput> { image.tensor(Pixels.ramp(5, 5), preprocessing) }
    }
}
