package org.jetbrains.kotlin.gradle.dsl

/** The targets of the Kotlin Gradle plugin that this project may use. */
enum class JvmTarget { JVM_1_8, JVM_11, JVM_17 }
