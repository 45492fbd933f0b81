package dev.shvit

import android.content.res.AssetManager
import dev.shvit.core.models.Files
import java.io.InputStream

/**
 * A folder of an app's assets, where `shvit-mobile embed` stores models.
 *
 * @param folder The models' folder in the assets.
 */
class AssetFiles(private val assets: AssetManager, private val folder: String = "models") : Files {
    override fun names(folder: String): List<String> = assets.list(place(folder)).orEmpty().toList()

    override fun open(file: String): InputStream = assets.open(place(file))

    /** Assets do not accept a path that ends with a slash. */
    private fun place(path: String): String = if (path.isEmpty()) folder else "$folder/$path"
}
