package dev.shvit.core.measure

import dev.shvit.core.documents.Compute
import dev.shvit.core.documents.DriftRow
import dev.shvit.core.documents.GoldenCheck
import dev.shvit.core.images.Pixels
import dev.shvit.core.models.Runner

/**
 * A model to measure, and how to run it.
 *
 * @property name The artifact's file name, with [engine] and [precision].
 * @property artifactSha256 The artifact's SHA-256; null if shvit-mobile did not export it.
 * @property pixels The input, in the model's size.
 * @property compute The processors that the model may use.
 * @property threads The number of threads.
 * @property sizeBytes The artifact's size on disk.
 * @property drift The drift that its manifest states.
 * @property load Loads the model; the duration is measured.
 * @property frame The picture for whole frames; null to measure inferences only.
 * @property golden Runs the loaded model's golden check; null without goldens.
 */
class Contestant(
    val name: String,
    val engine: String,
    val precision: String,
    val artifactSha256: String? = null,
    val pixels: Pixels,
    val compute: Compute = Compute.CPU,
    val threads: Int = 1,
    val sizeBytes: Long? = null,
    val drift: DriftRow? = null,
    val frame: FrameSource? = null,
    val golden: ((Runner) -> GoldenCheck)? = null,
    val load: () -> Runner,
)
