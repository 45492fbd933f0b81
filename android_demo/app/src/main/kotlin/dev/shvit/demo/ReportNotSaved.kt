package dev.shvit.demo

import java.io.IOException

/** A report that cannot be saved, with the same parts as the library's errors. */
internal class ReportNotSaved(what: String, why: String, hint: String) : IOException("$what\n$why\n$hint")
