// One version of each plugin for all modules. The Android plugin compiles Kotlin with this version of the compiler.
plugins {
    alias(libs.plugins.android.library) apply false
    alias(libs.plugins.kotlin.jvm) apply false
}
