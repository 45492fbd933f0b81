import org.junit.runner.Description
import org.junit.runner.JUnitCore
import org.junit.runner.Request
import org.junit.runner.notification.Failure
import org.junit.runner.notification.RunListener
import org.junit.runner.notification.StoppedByUserException

private val TESTS = listOf(
    FramesTest::class,
    PicturesTest::class,
    ClassifierTest::class,
    PhoneTest::class,
    LiveTest::class,
    PhotoTest::class,
    ScreensTest::class,
)

/**
 * Runs the tests until one fails. Called by `Server.java`.
 *
 * Arguments: the repository, the app's folder `src/main`, and a folder for temporary files.
 *
 * Returns the failure, or how many tests passed.
 */
fun run(arguments: Array<String>): String {
    val (repository, app, work) = arguments
    System.setProperty("shvit.repository", repository)
    System.setProperty("shvit.app", app)
    System.setProperty("shvit.work", work)
    val core = JUnitCore()
    val first = FirstFailure()
    core.addListener(first)
    var count = 0
    for (test in TESTS) {
        count += core.run(Request.aClass(test.java)).runCount
        first.failure?.let { return "failed\t${describe(it)}" }
    }
    return "passed\t$count"
}

private class FirstFailure : RunListener() {
    var failure: Failure? = null

    override fun testStarted(description: Description) {
        if (failure != null) throw StoppedByUserException()
    }

    override fun testFailure(failure: Failure) {
        if (failure.exception !is StoppedByUserException && this.failure == null) this.failure = failure
    }
}

private fun describe(failure: Failure): String {
    val reason = failure.exception
    val where = reason.stackTrace.firstOrNull { it.fileName.orEmpty().endsWith("Test.kt") }
    val place = where?.let { " (${it.fileName}:${it.lineNumber})" }.orEmpty()
    return "${failure.description.methodName}: ${reason.message ?: reason}$place".replace(Regex("\\s+"), " ")
}
