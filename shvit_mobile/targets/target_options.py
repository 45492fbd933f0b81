"""The base class of each target's options."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from shvit_mobile.contracts.manifest import Delegate
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.families.trained_model import TrainedModel


class TargetOptions:
    """The base of each target's options.

    Attributes:
        SIDE_SUFFIXES: The suffix of each file that an option of this name adds beside the artifact.
    """

    SIDE_SUFFIXES: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def check_precision(self, precision: Precision) -> None:
        """Raise `InvalidConfig` if these options and a precision exclude each other (default: they do not)."""

    def check_model(self, trained: TrainedModel) -> None:
        """Raise `InvalidConfig` if these options and a model exclude each other (default: they do not)."""

    @property
    def delegate(self) -> Delegate | None:
        """What runs an ExecuTorch program; None for other targets."""
        return None

    @property
    def suffix(self) -> str:
        """The suffix of the artifact's file name that distinguishes options of the same precision (default: none)."""
        return ""

    @property
    def side_suffixes(self) -> tuple[str, ...]:
        """The suffixes of the files that these options add beside the artifact."""
        return tuple(suffix for option, suffix in self.SIDE_SUFFIXES.items() if getattr(self, option))
