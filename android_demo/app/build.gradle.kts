import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "dev.shvit.demo"
    compileSdk = 36

    defaultConfig {
        applicationId = "dev.shvit.demo"
        minSdk = 26
        targetSdk = 36
        versionCode = 1
        versionName = "0.1.0"
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
        // The architectures of ExecuTorch's library, which LiteRT has, too.
        ndk.abiFilters += listOf("arm64-v8a", "x86_64")
    }

    // Benchmarks need a release build. The debug key makes it installable without a key of your own.
    buildTypes {
        release {
            isMinifyEnabled = true
            isShrinkResources = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"), "proguard-rules.pro")
            signingConfig = signingConfigs.getByName("debug")
        }
    }

    // Models hardly compress, and uncompressed assets are copied faster.
    androidResources {
        noCompress += listOf("pte", "tflite")
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

dependencies {
    implementation(project(":shvit-camerax"))
    // Only for `.tflite`.
    implementation(project(":shvit-litert"))
    implementation(libs.camera.lifecycle)
    implementation(libs.camera.view)
    implementation(libs.androidx.lifecycle.runtime)
    // The implementation that CameraX finds at run time.
    runtimeOnly(libs.camera.camera2)

    androidTestImplementation(libs.androidx.test.junit)
    androidTestImplementation(libs.androidx.test.runner)
    androidTestImplementation(libs.junit)
}
