// The part of Gradle's, the Android plugin's and the Kotlin plugin's API that this kind of build uses, written from
// docs.gradle.org (Project, Settings, PublishingExtension, MavenPublication), kotlinlang.org/api/kotlin-gradle-plugin
// (compiler options) and developer.android.com/reference/tools/gradle-api (ApplicationExtension, LibraryExtension). Scripts
// are compiled against it.
package gradle

import java.io.File
import org.jetbrains.kotlin.gradle.dsl.JvmTarget

// The types of the version catalog's accessors.

class Library(val coordinates: String)

class PluginAlias(val id: String)

class Provider<T>(private val value: T) {
    fun get(): T = value
}

// Gradle's API.

interface Property<T> {
    fun set(value: T)

    fun set(provider: Provider<T>)
}

interface ListProperty<T> {
    fun add(value: T)

    fun addAll(vararg values: T)
}

enum class JavaVersion { VERSION_1_8, VERSION_11, VERSION_17 }

enum class RepositoriesMode { PREFER_PROJECT, PREFER_SETTINGS, FAIL_ON_PROJECT_REPOS }

interface PluginSpec {
    infix fun apply(now: Boolean): PluginSpec
}

interface Plugins {
    val `maven-publish`: PluginSpec

    fun alias(plugin: PluginAlias): PluginSpec
}

class ProjectDependency(val path: String)

interface Repositories {
    fun google()

    fun mavenCentral()

    fun gradlePluginPortal()
}

interface PluginManagement {
    fun repositories(block: Repositories.() -> Unit)
}

interface DependencyResolution {
    val repositoriesMode: Property<RepositoriesMode>

    fun repositories(block: Repositories.() -> Unit)
}

interface RootProject {
    var name: String
}

/** `settings.gradle.kts`. */
interface SettingsScript {
    val rootProject: RootProject

    fun pluginManagement(block: PluginManagement.() -> Unit)

    fun dependencyResolutionManagement(block: DependencyResolution.() -> Unit)

    fun include(vararg paths: String)
}

/** The root `build.gradle.kts`. */
interface RootScript {
    val rootDir: File

    fun plugins(block: Plugins.() -> Unit)

    fun subprojects(block: Project.() -> Unit)
}

interface CompilerOptions {
    val jvmTarget: Property<JvmTarget>
    val allWarningsAsErrors: Property<Boolean>
    val progressiveMode: Property<Boolean>
    val freeCompilerArgs: ListProperty<String>
}

interface KotlinExtension {
    fun compilerOptions(block: CompilerOptions.() -> Unit)
}

interface Dependencies {
    fun project(path: String): ProjectDependency

    fun api(dependency: Library)

    fun api(dependency: ProjectDependency)

    fun implementation(dependency: Library)

    fun implementation(dependency: ProjectDependency)

    fun runtimeOnly(dependency: Library)

    fun testImplementation(dependency: Library)
}

interface AndroidDependencies : Dependencies {
    fun androidTestImplementation(dependency: Library)
}

interface ModuleScript<D : Dependencies> : Project {
    fun plugins(block: Plugins.() -> Unit)

    fun kotlin(block: KotlinExtension.() -> Unit)

    fun dependencies(block: D.() -> Unit)
}

// A module without Android.

interface JavaExtension {
    var sourceCompatibility: JavaVersion
    var targetCompatibility: JavaVersion

    fun withSourcesJar()
}

interface TestTask {
    val temporaryDir: File

    fun useJUnit()

    fun systemProperty(name: String, value: Any)
}

interface Tasks {
    fun test(block: TestTask.() -> Unit)
}

interface JvmScript : ModuleScript<Dependencies>, PublishedScript {
    val tasks: Tasks

    fun java(block: JavaExtension.() -> Unit)
}

// Publications.

interface AppliedPlugin

interface PluginManager {
    fun withPlugin(id: String, block: AppliedPlugin.() -> Unit)
}

interface Extensions

inline fun <reified T : Any> Extensions.configure(noinline block: T.() -> Unit): Unit = TODO()

interface Providers {
    fun gradleProperty(name: String): Provider<String>
}

interface Project {
    val name: String
    val project: Project
    val rootDir: File
    val pluginManager: PluginManager
    val extensions: Extensions
    val providers: Providers
    val components: SoftwareComponents

    fun afterEvaluate(block: Project.() -> Unit)
}

interface SoftwareComponent

interface SoftwareComponents {
    operator fun get(name: String): SoftwareComponent
}

interface MavenPomLicense {
    val name: Property<String>
    val url: Property<String>
}

interface MavenPomLicenses {
    fun license(block: MavenPomLicense.() -> Unit)
}

interface MavenPom {
    val name: Property<String>
    val description: Property<String>
    val url: Property<String>

    fun licenses(block: MavenPomLicenses.() -> Unit)
}

interface Publication

interface MavenPublication : Publication {
    var artifactId: String

    fun from(component: SoftwareComponent)

    fun pom(block: MavenPom.() -> Unit)
}

interface Publications

interface PublicationsOf<T : Publication> {
    fun configureEach(block: T.() -> Unit)
}

inline fun <reified T : Publication> Publications.register(name: String, noinline block: T.() -> Unit): Unit = TODO()

inline fun <reified T : Publication> Publications.withType(): PublicationsOf<T> = TODO()

interface PublishingExtension {
    val publications: Publications

    fun publications(block: Publications.() -> Unit)
}

interface PublishedScript {
    fun publishing(block: PublishingExtension.() -> Unit)
}

// The Android plugin's API.

interface SigningConfig

interface SigningConfigs {
    fun getByName(name: String): SigningConfig
}

interface Ndk {
    val abiFilters: MutableSet<String>
}

interface BuildType {
    var isMinifyEnabled: Boolean

    fun proguardFiles(vararg files: Any)
}

interface ApplicationBuildType : BuildType {
    var isDebuggable: Boolean
    var isShrinkResources: Boolean
    var signingConfig: SigningConfig?
}

interface BuildTypes<T : BuildType> {
    fun release(block: T.() -> Unit)

    fun debug(block: T.() -> Unit)
}

interface DefaultConfig {
    var minSdk: Int?
    var testInstrumentationRunner: String?
    val ndk: Ndk

    fun buildConfigField(type: String, name: String, value: String)
}

interface ApplicationDefaultConfig : DefaultConfig {
    var applicationId: String?
    var targetSdk: Int?
    var versionCode: Int?
    var versionName: String?
}

interface LibraryDefaultConfig : DefaultConfig {
    fun consumerProguardFiles(vararg files: Any)
}

interface SingleVariant {
    fun withSourcesJar()
}

interface LibraryPublishing {
    fun singleVariant(name: String, block: SingleVariant.() -> Unit)
}

interface AndroidResources {
    val noCompress: MutableCollection<String>
}

interface CompileOptions {
    var sourceCompatibility: JavaVersion
    var targetCompatibility: JavaVersion
}

interface BuildFeatures {
    var buildConfig: Boolean?
}

interface AndroidExtension<C : DefaultConfig, T : BuildType> {
    var namespace: String?
    var compileSdk: Int?
    val signingConfigs: SigningConfigs

    fun defaultConfig(block: C.() -> Unit)

    fun buildTypes(block: BuildTypes<T>.() -> Unit)

    fun buildFeatures(block: BuildFeatures.() -> Unit)

    fun androidResources(block: AndroidResources.() -> Unit)

    fun compileOptions(block: CompileOptions.() -> Unit)

    fun getDefaultProguardFile(name: String): File
}

interface ApplicationScript : ModuleScript<AndroidDependencies> {
    fun android(block: AndroidExtension<ApplicationDefaultConfig, ApplicationBuildType>.() -> Unit)
}

interface LibraryExtension : AndroidExtension<LibraryDefaultConfig, BuildType> {
    fun publishing(block: LibraryPublishing.() -> Unit)
}

interface LibraryScript : ModuleScript<AndroidDependencies>, PublishedScript {
    fun android(block: LibraryExtension.() -> Unit)
}
