import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.library)
    `maven-publish`
}

android {
    namespace = "dev.shvit.camerax"
    compileSdk = 36

    defaultConfig {
        minSdk = 26
    }

    publishing {
        singleVariant("release") {
            withSourcesJar()
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

kotlin {
    compilerOptions {
        jvmTarget.set(JvmTarget.JVM_1_8)
        allWarningsAsErrors.set(true)
        progressiveMode.set(true)
    }
}

publishing {
    publications {
        register<MavenPublication>("release") {
            // The Android plugin creates the component after the script.
            afterEvaluate { from(components["release"]) }
        }
    }
}

dependencies {
    api(project(":shvit"))
    api(libs.camera.core)
}
