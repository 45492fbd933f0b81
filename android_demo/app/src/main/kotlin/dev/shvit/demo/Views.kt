package dev.shvit.demo

import android.app.Activity
import android.view.View

/** The view of that id in the activity's layout. */
internal inline fun <reified V : View> Activity.view(id: Int): V {
    val view: View = findViewById(id)
    return view as V
}

/** The view of that id in a row. */
internal inline fun <reified V : View> View.view(id: Int): V {
    val view: View = findViewById(id)
    return view as V
}
