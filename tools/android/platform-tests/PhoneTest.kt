import dev.shvit.AndroidPhone
import dev.shvit.core.documents.ThermalState
import fakes.Phone
import kotlin.test.Test
import kotlin.test.assertEquals

/** The conditions in a report are the phone's. */
class PhoneTest : OnPhone() {
    @Test
    fun `the phone's conditions`() {
        val phone = AndroidPhone(context)
        assertEquals("Android 16 (API 36)", phone.system)
        assertEquals("Fake Phone", phone.device.name)
        assertEquals(8L shl 30, phone.device.memoryBytes)
        assertEquals(0.8, phone.battery())
        assertEquals(true, phone.charging())
        assertEquals(1_024_000L, phone.memoryBytes())
        Phone.lowPower = true
        Phone.thermal = 3
        assertEquals(true, phone.lowPower())
        assertEquals(ThermalState.SERIOUS, phone.thermal()?.state)
        assertEquals(0.5, phone.thermal()?.headroom)
    }
}
