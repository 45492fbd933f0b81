package dev.shvit.core.measure

import dev.shvit.core.documents.Compute
import dev.shvit.core.documents.DriftRow
import dev.shvit.core.documents.GoldenCheck
import dev.shvit.core.images.Pixels
import dev.shvit.core.models.Classifier

/**
 * What is measured: a model and how it is run.
 *
 * @property name which, with [engine] and [precision].
 * @property artifactSha256 null where it is no artifact of ours.
 * @property pixels what it is run on, of the model's size.
 * @property compute the processors that it may use.
 * @property threads that it runs on.
 * @property sizeBytes on disk.
 * @property drift what its manifest says of it.
 * @property load loads the model; this is timed.
 * @property golden checks the loaded model against its goldens; null where there are none.
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
    val golden: ((Classifier) -> GoldenCheck)? = null,
    val load: () -> Classifier,
)
