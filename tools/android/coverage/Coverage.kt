import java.io.File
import kotlin.system.exitProcess
import org.jacoco.core.analysis.Analyzer
import org.jacoco.core.analysis.CoverageBuilder
import org.jacoco.core.analysis.ICounter
import org.jacoco.core.analysis.ISourceFileCoverage
import org.jacoco.core.data.ExecutionDataStore
import org.jacoco.core.data.SessionInfoStore
import org.jacoco.core.instr.Instrumenter
import org.jacoco.core.runtime.LoggerRuntime
import org.jacoco.core.runtime.RuntimeData
import org.junit.internal.TextListener
import org.junit.runner.JUnitCore
import org.objectweb.asm.ClassReader
import org.objectweb.asm.ClassVisitor
import org.objectweb.asm.ClassWriter
import org.objectweb.asm.Opcodes

/**
 * Runs every test class of a package and lists the lines of the package that the tests do not cover.
 *
 * Arguments: the folder of the measured classes, the folder of their sources, the package, the minimum coverage in
 * percent, and a part of the names of the test classes to run (empty for all). The class path contains the test
 * classes but not the measured ones, which are loaded here with JaCoCo's probes. Exits with 1 if a test fails, or the
 * coverage is too low.
 */
fun main(arguments: Array<String>) {
    val (classes, sources) = arguments.map(::File)
    val (packageName, floor, only) = arguments.drop(2)
    val runtime = LoggerRuntime()
    val data = RuntimeData().also(runtime::startup)
    val loader = ProbedClasses(classes, packageName, Instrumenter(runtime))

    val tests = testClasses(packageName).filter { only in it }.map(loader::loadClass)
    val outcome = JUnitCore().apply { addListener(TextListener(System.out)) }.run(*tests.toTypedArray())
    if (!outcome.wasSuccessful() || outcome.runCount == 0) exitProcess(1)
    if (only.isNotEmpty()) return

    val executed = ExecutionDataStore()
    data.collect(executed, SessionInfoStore(), false)
    runtime.shutdown()
    val coverage = CoverageBuilder()
    val analyzer = Analyzer(executed, coverage)
    classes.walk().filter { it.extension == "class" }.forEach { analyzer.analyzeClass(plain(it), it.name) }
    // Code inlined from the standard library can become a separate class, with the library's source.
    val files = coverage.sourceFiles.map { it to sources.resolve(it.packageName).resolve(it.name) }
        .filter { (_, source) -> source.exists() }.map { (file, source) -> Lines(file, source) }
    files.filter { it.never.isNotEmpty() }.sortedBy { it.name }.forEach { println("${it.name} never ran: ${it.never}") }
    val (all, never) = files.sumOf { it.all } to files.sumOf { it.never.size }
    val share = 100.0 * (all - never) / all
    println("%.1f %% of %d lines ran; at least %s %% have to.".format(share, all, floor))
    if (share < floor.toDouble()) exitProcess(1)
}

/** The lines with code in a source file, and those that are not covered. */
private class Lines(coverage: ISourceFileCoverage, source: File) {
    val name: String = source.name

    // The compiler numbers lines inlined from other files past the end of this one.
    private val coded = (1..source.readLines().size).filter { coverage.getLine(it).status != ICounter.EMPTY }
    val all = coded.size
    val never = coded.filter { coverage.getLine(it).status == ICounter.NOT_COVERED }
}

/** Removes a class's map of inlined lines, whose newer format Debian's JaCoCo cannot read. */
private fun plain(file: File): ByteArray {
    val reader = ClassReader(file.readBytes())
    val writer = ClassWriter(reader, 0)
    val withoutMap = object : ClassVisitor(Opcodes.ASM9, writer) {
        override fun visitSource(source: String?, debug: String?) = super.visitSource(source, null)
    }
    reader.accept(withoutMap, 0)
    return writer.toByteArray()
}

/** Loads a package's classes child first: measured ones with probes, tests unchanged. */
private class ProbedClasses(val folder: File, val packageName: String, val instrumenter: Instrumenter) :
    ClassLoader(Instrumenter::class.java.classLoader) {

    override fun loadClass(name: String, resolve: Boolean): Class<*> = synchronized(getClassLoadingLock(name)) {
        findLoadedClass(name)
            ?: bytes(name)?.let { defineClass(name, it, 0, it.size) }
            ?: super.loadClass(name, resolve)
    }

    private fun bytes(name: String): ByteArray? {
        if (!name.startsWith("$packageName.")) return null
        val path = name.replace('.', '/') + ".class"
        val measured = File(folder, path)
        if (measured.exists()) return instrumenter.instrument(plain(measured), name)
        return parent.getResourceAsStream(path)?.use { it.readBytes() }
    }
}

/** Returns the names of the package's classes that end in `Test`, from this program's folder. */
private fun testClasses(packageName: String): List<String> {
    val root = File(ProbedClasses::class.java.protectionDomain.codeSource.location.toURI())
    return root.resolve(packageName.replace('.', '/')).walk()
        .filter { it.name.endsWith("Test.class") }
        .map { it.relativeTo(root).path.removeSuffix(".class").replace(File.separatorChar, '.') }
        .sorted().toList()
}
