"""Loading of detectors: the authors' RetinaNet in mmdet's layout, and this project's light detector."""

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.families.discover import take_inventory
from shvit_mobile.families.light_detector import build_light_detector, is_light_detector
from shvit_mobile.families.loaded_detector import DetectorFile
from shvit_mobile.families.locate import locate_checkpoint, read_checkpoint
from shvit_mobile.families.retinanet import build_retinanet
from shvit_mobile.families.trained_model import TrainedModel


def load_detector(source: AnyPath, *, sha256: str | None = None) -> TrainedModel:
    """Load the detector in a checkpoint, which is recognized by its tensors. No code of the file is executed.

    Args:
        source: A file of this project, or of mmdet with a RetinaNet under any prefix; or what else `load_checkpoint`
            takes.
        sha256: The SHA-256 that the file must have.

    Raises:
        BadCheckpoint: If the file is missing or damaged, has no detector or several, or if a tensor is missing, has
            another shape or values that a model cannot run with.
    """
    file = locate_checkpoint(source, sha256)
    read = read_checkpoint(file, sha256)
    found = DetectorFile(file, read, take_inventory(read.contents.payload, file.display_name))
    return build_light_detector(found) if is_light_detector(found) else build_retinanet(found)
