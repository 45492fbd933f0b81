package dev.shvit.demo

import android.content.Context
import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import dev.shvit.core.documents.GoldenCheck
import dev.shvit.core.models.ModelStore
import dev.shvit.core.models.Stored

/** Runs the golden check: compares this phone's pixels and outputs with those stored at export. */
internal class CheckActivity : WorkActivity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.list)
        view<View>(R.id.action).setOnClickListener { begin(Check(applicationContext), ::show) }
        (work as? Check)?.watch(::show) ?: begin(Check(applicationContext), ::show)
    }

    private fun show(state: Check.State) {
        view<TextView>(R.id.status).text = state.words
        view<View>(R.id.action).visibility = if (state.ended) View.VISIBLE else View.GONE
        val rows = view<ViewGroup>(R.id.rows)
        rows.removeAllViews()
        for (answer in state.answers) {
            val row = layoutInflater.inflate(R.layout.row, rows, false)
            row.view<TextView>(R.id.title).text = answer.title
            row.view<TextView>(R.id.details).text = answer.details
            rows.addView(row)
        }
    }
}

/** The golden checks of all models, one after the other. */
internal class Check(private val context: Context) : Work<Check.State>(State("", emptyList(), ended = false)) {
    class Answer(val title: String, val details: String)

    /** The current step, the results so far, and whether the checks are done. */
    class State(val words: String, val answers: List<Answer>, val ended: Boolean)

    private val library = Library(context)
    private val answers = ArrayList<Answer>()

    override fun run(): State = Library.alone(::checkAll)

    private fun checkAll(): State {
        for (stored in Models(context).all()) {
            if (cancelled) break
            tell(State(context.getString(R.string.checking, stored.stem), answers.toList(), ended = false))
            answers += answer(stored)
        }
        val words = if (answers.isEmpty()) ModelStore.noModel().message.orEmpty() else ""
        return State(words, answers.toList(), ended = true)
    }

    override fun failed(reason: Throwable) = State(context.words(reason), answers.toList(), ended = true)

    /** Checks one model. A failing model does not stop the other checks. */
    private fun answer(stored: Stored): Answer = try {
        when (stored) {
            is Stored.Broken -> throw stored.reason
            is Stored.Usable -> check(stored)
        }
    } catch (reason: Exception) {
        log(reason)
        Answer(title(stored.stem, passed = false), context.words(reason))
    }

    private fun check(stored: Stored.Usable): Answer {
        val model = stored.model
        val goldens = model.goldens()
            ?: return Answer(model.stem, context.getString(R.string.without_goldens, model.stem))
        val reducedScale = Models(context).reducedScale
        val check = library.load(model, threads = 1).use { library.check(goldens, it, reducedScale) }
        return Answer(title(model.stem, check.passed), details(check))
    }

    private fun title(stem: String, passed: Boolean) = context.getString(R.string.check_title, stem, verdict(passed))

    private fun verdict(passed: Boolean) = context.getString(if (passed) R.string.passed else R.string.failed)

    private fun details(check: GoldenCheck): String {
        val figures = arrayOf(
            verdict(check.preprocessingPassed),
            formatter.plain(check.pixelsDifference),
            verdict(check.inferencePassed),
            formatter.plain(check.largestDifference),
            formatter.plain(check.tolerance),
            formatter.decibels(check.sqnrDb),
        )
        val same = check.sameClass ?: return context.getString(R.string.check_details_of_maps, *figures)
        return context.getString(R.string.check_details, *figures, same, check.images)
    }
}
