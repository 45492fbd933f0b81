package dev.shvit.core.screen

import dev.shvit.core.images.Preprocessing
import dev.shvit.core.images.Preprocessor

/** The geometry of a camera's picture on the screen. */
object CameraGeometry {
    /**
     * Returns the part of a view that the model sees, if the view shows the whole picture that is classified.
     *
     * @param width The view's width in pixels; [height] likewise.
     */
    fun crop(width: Int, height: Int, preprocessing: Preprocessing): Rectangle {
        val (resizedHeight, resizedWidth) = Preprocessor(preprocessing).resizedSize(height, width)
        // A letterbox shows all of the picture.
        val marginX = maxOf(0.0, width * (1 - preprocessing.width.toDouble() / resizedWidth) / 2)
        val marginY = maxOf(0.0, height * (1 - preprocessing.height.toDouble() / resizedHeight) / 2)
        return Rectangle(marginX, marginY, width - marginX, height - marginY)
    }
}
