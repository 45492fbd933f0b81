package dev.shvit.core.models

import dev.shvit.core.ShvitException.InvalidSettings
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class SharedPoolTest {
    @Test
    fun `models loaded at the same time must use the same number of threads`() {
        val pool = SharedPool()
        val (first, second) = pool.enter(2) to pool.enter(2)
        val error = assertFailsWith<InvalidSettings> { pool.enter(4) }
        assertEquals("A model with 4 threads cannot be loaded while one with 2 is.", error.what)
        first.close()
        assertFailsWith<InvalidSettings> { pool.enter(4) }
        second.close()
        pool.enter(4)
        assertFailsWith<InvalidSettings> { pool.enter(2) }
    }
}
