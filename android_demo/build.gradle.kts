// One version of each plugin for all modules. The Android plugin compiles Kotlin with this version of the compiler.
plugins {
    alias(libs.plugins.android.library) apply false
    alias(libs.plugins.kotlin.jvm) apply false
}

// What the published modules have in common. Group and version are in gradle.properties.
subprojects {
    pluginManager.withPlugin("maven-publish") {
        extensions.configure<PublishingExtension> {
            publications.withType<MavenPublication>().configureEach {
                pom {
                    name.set(project.name)
                    description.set("Classifies pictures on Android with a model that shvit-mobile exported.")
                    url.set(providers.gradleProperty("shvit.url"))
                    licenses {
                        license {
                            name.set("MIT")
                            url.set("https://opensource.org/license/mit")
                        }
                    }
                }
            }
        }
    }
}
