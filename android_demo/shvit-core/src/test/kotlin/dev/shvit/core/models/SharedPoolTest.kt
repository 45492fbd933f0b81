package dev.shvit.core.models

import dev.shvit.core.WrongSettings
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class SharedPoolTest {
    @Test
    fun `models that are loaded at a time agree on their threads`() {
        val pool = SharedPool()
        val (first, second) = pool.enter(2) to pool.enter(2)
        val error = assertFailsWith<WrongSettings> { pool.enter(4) }
        assertEquals("A model on 4 threads cannot be loaded beside one on 2.", error.what)
        first.close()
        assertFailsWith<WrongSettings> { pool.enter(4) }
        second.close()
        pool.enter(4)
        assertFailsWith<WrongSettings> { pool.enter(2) }
    }
}
