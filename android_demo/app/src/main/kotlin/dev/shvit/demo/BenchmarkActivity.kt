package dev.shvit.demo

import android.content.Intent
import android.os.BadParcelableException
import android.os.Bundle
import android.util.Log
import android.view.View
import android.view.ViewGroup
import android.view.WindowManager
import android.widget.Button
import android.widget.CheckBox
import android.widget.EditText
import android.widget.ProgressBar
import android.widget.TextView
import dev.shvit.core.ShvitException
import dev.shvit.core.ShvitException.InvalidSettings
import dev.shvit.core.documents.Result
import dev.shvit.core.measure.BenchmarkRequest
import dev.shvit.core.measure.RunLog
import dev.shvit.core.models.ModelStore
import dev.shvit.core.models.Stored

/**
 * Measures models on several numbers of threads, and shows, saves and shares the device report.
 *
 * A script starts it with extras, which [BenchmarkRequest] parses: `am start ... --es benchmark all --ei iterations
 * 200`.
 */
internal class BenchmarkActivity : WorkActivity() {
    private lateinit var choices: ViewGroup
    private val leftOut = LinkedHashSet<String>()
    private lateinit var status: TextView
    private val run: BenchmarkRun? get() = work as? BenchmarkRun

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.benchmark)
        choices = view(R.id.choices)
        status = view(R.id.status)
        leftOut += savedInstanceState?.getStringArrayList(LEFT_OUT).orEmpty()
        offerStart()
        read(Models(this)::all) { offer(it) }
        run?.watch(::show)
        // The list of recent apps delivers the old intent again, whose report already exists.
        val again = intent.flags and Intent.FLAG_ACTIVITY_LAUNCHED_FROM_HISTORY != 0
        if (savedInstanceState == null && !again) startIfAsked(intent)
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putStringArrayList(LEFT_OUT, ArrayList(leftOut))
    }

    override fun onStop() {
        if (!isChangingConfigurations) run?.interrupt()
        super.onStop()
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        startIfAsked(intent)
    }

    private fun offer(stored: List<Stored>) {
        if (stored.isEmpty()) status.text = ModelStore.noModel().message
        for (each in stored.filterIsInstance<Stored.Usable>().filter { Library.ENGINES.runs(it.model.manifest) }) {
            val choice = CheckBox(this)
            choice.text = each.stem
            choice.isChecked = each.stem !in leftOut
            choice.setOnCheckedChangeListener { _, wanted ->
                if (wanted) leftOut -= each.stem else leftOut += each.stem
            }
            choice.minimumHeight = resources.getDimensionPixelSize(R.dimen.touch)
            choices.addView(choice)
        }
    }

    /** Starts the benchmark that an intent asks for. Rejects the intent if a benchmark is already running. */
    private fun startIfAsked(intent: Intent) {
        if (run?.running == true) {
            val why = "A second one would distort its latencies."
            return log(InvalidSettings("A benchmark is already running.", why, "Wait for its report."))
        }
        val extras = extras(intent)
        startOrTell(extras[BenchmarkRequest.RUN_ID] as? String) { BenchmarkRequest.of(extras) }
    }

    // Readers of this type expect to know which app sent it; here a shell did.
    @Suppress("DEPRECATION")
    private fun extras(intent: Intent): Map<String, Any?> {
        val extras = intent.extras ?: return emptyMap()
        return try {
            extras.keySet().associateWith { extras.get(it) }
        } catch (_: BadParcelableException) {
            // A class of another app, which this one does not know.
            emptyMap()
        }
    }

    /** Parses the screen's fields as if they were an intent's extras. */
    private fun request(): BenchmarkRequest? {
        val chosen = (0 until choices.childCount).map { choices.getChildAt(it) as CheckBox }.filter { it.isChecked }
        return BenchmarkRequest.of(
            mapOf(
                "benchmark" to chosen.joinToString(",") { it.text },
                "threads" to text(R.id.threads),
                "seconds" to text(R.id.seconds),
                "rounds" to text(R.id.rounds),
                "sustained" to text(R.id.sustained),
            ),
        )
    }

    private fun text(field: Int) = view<EditText>(field).text.toString()

    private fun startOrTell(runId: String? = null, request: () -> BenchmarkRequest?) {
        try {
            request()?.let { begin(BenchmarkRun(applicationContext, it), ::show) }
        } catch (reason: ShvitException) {
            val log = RunLog(runId) { Log.e(LOG, it) }
            log.error(words(reason))
            log.noReport()
            status.text = words(reason)
        }
    }

    private fun show(state: BenchmarkRun.State) {
        val measuring = state is BenchmarkRun.Measuring
        view<View>(R.id.settings).visibility = if (measuring) View.GONE else View.VISIBLE
        view<View>(R.id.progress).visibility = if (measuring) View.VISIBLE else View.GONE
        view<View>(R.id.share).visibility = if (state is BenchmarkRun.Measured) View.VISIBLE else View.GONE
        view<ViewGroup>(R.id.rows).removeAllViews()
        if (measuring) window.addFlags(AWAKE) else window.clearFlags(AWAKE)
        run?.phone?.sustainPerformance(window, measuring)
        when (state) {
            is BenchmarkRun.Measuring -> show(state)
            is BenchmarkRun.Measured -> show(state)
            is BenchmarkRun.Ended -> status.text = state.words
        }
        if (!measuring) offerStart()
    }

    private fun show(state: BenchmarkRun.Measuring) {
        status.text = state.words
        val bar = view<ProgressBar>(R.id.progress)
        bar.progress = (state.done * bar.max).toInt()
        val action = view<Button>(R.id.action)
        action.setText(R.string.cancel)
        action.setOnClickListener { run?.cancel() }
    }

    private fun show(state: BenchmarkRun.Measured) {
        status.text = state.words
        view<View>(R.id.share).setOnClickListener { startActivity(Reports(this).sharing(state.file)) }
        val rows = view<ViewGroup>(R.id.rows)
        for (result in state.report.results) {
            val row = layoutInflater.inflate(R.layout.row, rows, false)
            row.view<TextView>(R.id.title).text = title(result)
            row.view<TextView>(R.id.details).text = details(result)
            val histogram = row.view<HistogramView>(R.id.histogram)
            histogram.samples = result.samplesMs.flatten()
            histogram.visibility = View.VISIBLE
            rows.addView(row)
        }
    }

    private fun offerStart() {
        val action = view<Button>(R.id.action)
        action.setText(R.string.start)
        action.setOnClickListener { startOrTell(request = ::request) }
    }

    private fun title(result: Result): String {
        val threads = result.threads ?: 1
        val onThreads = resources.getQuantityString(R.plurals.on_threads, threads, threads)
        return getString(R.string.result_title, result.name, onThreads)
    }

    private fun details(result: Result): String {
        val latency = getString(
            R.string.result_latency,
            formatter.milliseconds(result.latency.p50),
            formatter.millisecondsOrDash(result.latency.p90),
            formatter.millisecondsOrDash(result.latency.p99),
            formatter.milliseconds(result.loadMs),
            formatter.milliseconds(result.firstMs),
        )
        val stages = result.stages?.let { frame ->
            val medians = listOf(frame.preprocessing, frame.tensor, frame.inference, frame.decoding, frame.total)
            getString(R.string.result_stages, *medians.map { formatter.milliseconds(it.p50) }.toTypedArray())
        }
        val windows = result.windows.takeIf { it.isNotEmpty() }?.let { windows ->
            getString(R.string.result_windows, windows.joinToString(" · ") { formatter.milliseconds(it.p50) })
        }
        return listOfNotNull(latency, stages, windows).joinToString("\n")
    }

    private companion object {
        const val LEFT_OUT = "left_out"
        const val AWAKE = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
    }
}
