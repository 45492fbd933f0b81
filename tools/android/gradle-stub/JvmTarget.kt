package org.jetbrains.kotlin.gradle.dsl

/** As the reference of the Kotlin Gradle plugin has it; the targets that may be used here. */
enum class JvmTarget { JVM_1_8, JVM_11, JVM_17 }
