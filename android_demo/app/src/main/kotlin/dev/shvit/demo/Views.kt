package dev.shvit.demo

import android.app.Activity
import android.view.View

/** Returns the view with that id in the activity's layout. */
internal inline fun <reified V : View> Activity.view(id: Int): V {
    val view: View = findViewById(id)
    return view as V
}

/** Returns the view with that id in a row. */
internal inline fun <reified V : View> View.view(id: Int): V {
    val view: View = findViewById(id)
    return view as V
}
