package dev.shvit.demo

import android.content.ClipData
import android.content.Context
import android.content.Intent
import android.net.Uri
import dev.shvit.core.documents.DeviceReport
import java.io.File
import java.io.IOException
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale

/** The device reports, where adb can fetch them: `Android/data/dev.shvit.demo/files/reports`. */
internal class Reports(private val context: Context) {
    /**
     * Writes a report atomically and replaces one of the same name.
     *
     * @param name The file's name without suffix (default: the current time).
     * @throws ReportNotSaved If there is not enough space, or no storage.
     */
    fun write(report: DeviceReport, name: String?): File {
        val file = folder().resolve("${name ?: named(Date())}.json")
        val part = folder().resolve("${file.name}.part")
        try {
            part.writeText(report.text())
            if (!part.renameTo(file)) throw IOException("${part.name} cannot be renamed")
        } catch (reason: IOException) {
            part.delete()
            throw ReportNotSaved(
                "The report cannot be saved: ${reason.message}.",
                "Its file is $file.",
                "Free some storage and run the benchmark again.",
            )
        }
        return file
    }

    /** Returns the report of that name; null if it does not exist, or the name contains a folder. */
    fun find(name: String): File? {
        val folder = folder().canonicalFile
        return folder.resolve(name).takeIf { it.isFile && it.canonicalFile.parentFile == folder }
    }

    /** Returns an intent that shares a report. */
    fun sharing(file: File): Intent {
        val authority = "${context.packageName}.reports"
        val uri = Uri.Builder().scheme("content").authority(authority).appendPath(file.name).build()
        val send = Intent(Intent.ACTION_SEND)
            .setType(MIME)
            .putExtra(Intent.EXTRA_STREAM, uri)
            .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        send.clipData = ClipData.newRawUri(file.name, uri)
        return Intent.createChooser(send, context.getString(R.string.share_title))
    }

    private fun folder(): File {
        val storage = context.getExternalFilesDir(null) ?: throw ReportNotSaved(
            "This phone's shared storage is not available.",
            "Reports are saved there so that a computer can fetch them.",
            "Disconnect the phone from computers that use its storage, and try again.",
        )
        return storage.resolve("reports").also { it.mkdirs() }
    }

    private fun named(moment: Date) = SimpleDateFormat("'report-'yyyyMMdd-HHmmss", Locale.ROOT).format(moment)

    companion object {
        const val MIME = "application/json"
    }
}
