"""What the detectors have in common: their family, and how a checkpoint becomes one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from shvit_mobile.contracts.detection import Detection
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadCheckpoint
from shvit_mobile.families.containers import format_faults
from shvit_mobile.families.discover import Inventory, StoredModel, StoredTensor, get_shape, shorten_name
from shvit_mobile.families.family import Family
from shvit_mobile.families.locate import CheckpointBytes, CheckpointFile
from shvit_mobile.families.shvit_family import SHVIT
from shvit_mobile.families.trained_model import CheckpointDialect, TrainedModel
from shvit_mobile.families.upsampling import ConcatenatedDoubling, NearestDoubling
from shvit_mobile.families.weights import check_claims, convert_values

_COUNTER = ".num_batches_tracked"


# A SHViT's modules are folded and rewritten wherever they are.
DETECTOR = Family(
    name="SHViT detector",
    folds=SHVIT.folds,
    rewrites={
        **SHVIT.rewrites,
        "litert": {**SHVIT.rewrites["litert"], NearestDoubling: ConcatenatedDoubling},
    },
    entry="backbone.patch_embed",
    has_any_size=True,
)


@dataclass(frozen=True)
class DetectorFile:
    """A checkpoint that was read, and what it contains."""

    file: CheckpointFile
    read: CheckpointBytes
    inventory: Inventory

    @property
    def name(self) -> str:
        """The file's name in errors."""
        return self.file.display_name


def to_trained_model(
    model: nn.Module,
    detection: Detection,
    found: DetectorFile,
    *,
    variant: str,
    dialect: CheckpointDialect,
    labels: tuple[str, ...],
    preprocessing: Preprocessing,
    notes: Sequence[str],
) -> TrainedModel:
    """Return a detector as a trained model; its outputs are the maps of scores of each stride, then those of boxes."""
    return TrainedModel(
        model=model.eval(),
        family=DETECTOR,
        variant=variant,
        dialect=dialect,
        labels=labels,
        preprocessing=preprocessing,
        source=found.file.source,
        sha256=found.read.sha256,
        notes=(*found.file.notes, *notes),
        task="detect",
        map_names=tuple(f"{kind}{stride}" for kind in ("scores", "boxes") for stride in detection.strides),
        detection=detection,
    )


def fill_model(
    model: nn.Module, stored: Mapping[str, StoredTensor], names: Mapping[str, str], found: DetectorFile
) -> None:
    """Load the weights of a detector; batch counters, which inference does not use, are left out.

    Args:
        model: The detector.
        stored: Tensors by the names of its layers.
        names: What the checkpoint calls, or would call, a tensor (default: its name).
        found: The checkpoint.

    Raises:
        BadCheckpoint: If a tensor is missing, or has another shape, or values that a model cannot run with.
    """
    expected = {key: tuple(one.shape) for key, one in model.state_dict().items() if not key.endswith(_COUNTER)}
    shapes = {key: get_shape(one) for key, one in stored.items()}
    faults = [
        f"{names.get(key, key)} {'is missing' if key not in shapes else f'has the shape {shapes[key]}, not {shape}'}"
        for key, shape in expected.items()
        if shapes.get(key) != shape
    ]
    if faults:
        raise BadCheckpoint(
            f"{found.name} is not a complete {type(model).__name__}: {len(expected) - len(faults)} of {len(expected)} "
            f"tensors fit; the first that do not fit: {format_faults(faults)}.",
            why="A detector is loaded whole or not at all.",
        )
    values = convert_values({key: stored[key] for key in expected}, found.name)
    model.load_state_dict(values, strict=False)


def check_stored_sizes(stored: Mapping[str, StoredTensor], found: DetectorFile) -> None:
    """Raise `BadCheckpoint` if tensors have more elements than the file has bytes."""
    check_claims(StoredModel("root", dict(stored), frozenset(stored)), found.read.size, found.name)


def describe_rest(found: DetectorFile, used: set[str]) -> list[str]:
    """Return a note on the tensors of a checkpoint whose names are not in `used`, apart from batch counters."""
    names = [key for key in found.inventory.tensors if key not in used and not key.endswith(_COUNTER)]
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    count = "1 other tensor is" if len(names) == 1 else f"{len(names)} other tensors are"
    return [f"{count} ignored: {', '.join(map(shorten_name, names[:3]))}{more}."]
