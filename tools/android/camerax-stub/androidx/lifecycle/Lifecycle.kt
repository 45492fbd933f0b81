package androidx.lifecycle

/** The part of AndroidX's lifecycle and LiveData that CameraX's users need: signatures without code. */
abstract class Lifecycle {
    abstract val currentState: State

    enum class State { DESTROYED, INITIALIZED, CREATED, STARTED, RESUMED }
}

interface LifecycleOwner {
    val lifecycle: Lifecycle
}

open class LifecycleRegistry(provider: LifecycleOwner) : Lifecycle() {
    override var currentState: State
        get() = TODO()
        set(value) = TODO("$value")
}

fun interface Observer<T> {
    fun onChanged(value: T)
}

abstract class LiveData<T> {
    open fun observe(owner: LifecycleOwner, observer: Observer<in T>): Unit = TODO()
}
