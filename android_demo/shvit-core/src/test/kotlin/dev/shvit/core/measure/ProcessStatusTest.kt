package dev.shvit.core.measure

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

class ProcessStatusTest {
    @Test
    fun `the peak is in bytes`() {
        val status = "Name:\tapp\nVmPeak:\t  9000 kB\nVmHWM:\t  5060 kB\nVmRSS:\t 4000 kB\n"
        assertEquals(5_181_440, peakMemoryBytes(status))
    }

    @Test
    fun `a status without a valid peak gives null`() {
        assertNull(peakMemoryBytes("Name:\tapp\nVmRSS:\t 4000 kB\n"))
        assertNull(peakMemoryBytes("VmHWM:\t99999999999999999999 kB\n"))
        assertNull(peakMemoryBytes(""))
    }

    /** The heap of this process is between 10 MB and 1 TB. */
    @Test
    fun `Linux reports the peak of this process`() {
        val peak = assertNotNull(peakMemoryBytes(File("/proc/self/status").readText()))
        assertTrue(peak in 10_000_000..1_000_000_000_000, "$peak bytes")
    }
}
