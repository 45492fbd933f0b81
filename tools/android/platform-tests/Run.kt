import org.junit.runner.Description
import org.junit.runner.Request
import org.junit.runner.notification.Failure
import org.junit.runner.notification.RunListener
import org.junit.runner.notification.RunNotifier
import org.junit.runner.notification.StoppedByUserException

private val TESTS = listOf(
    FramesTest::class,
    PicturesTest::class,
    ClassifierTest::class,
    LiteRTTest::class,
    FacadeTest::class,
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
    val first = FirstFailure()
    try {
        for (test in TESTS) Request.aClass(test.java).runner.run(first.notifier)
    } catch (_: StoppedByUserException) {
        // The first failure stops the run.
    }
    return first.failure?.let { "failed\t${describe(it)}" } ?: "passed\t${first.passed}"
}

private class FirstFailure : RunListener() {
    val notifier = RunNotifier().also { it.addListener(this) }
    var failure: Failure? = null
    var passed = 0

    override fun testFailure(failure: Failure) {
        if (this.failure == null) this.failure = failure
        notifier.pleaseStop()
    }

    override fun testFinished(description: Description) {
        passed++
    }
}

private fun describe(failure: Failure): String {
    val reason = failure.exception
    val where = reason.stackTrace.firstOrNull { it.fileName.orEmpty().endsWith("Test.kt") }
    val place = where?.let { " (${it.fileName}:${it.lineNumber})" }.orEmpty()
    return "${failure.description.methodName}: ${reason.message ?: reason}$place".replace(Regex("\\s+"), " ")
}
