"""The base class of each target's options."""

from shvit_mobile.contracts.manifest import Delegate
from shvit_mobile.contracts.recipe import Precision


class TargetOptions:
    """The base of each target's options."""

    def check_precision(self, precision: Precision) -> None:
        """Raise `InvalidConfig` if these options and a precision exclude each other (default: they do not)."""

    @property
    def delegate(self) -> Delegate | None:
        """What runs an ExecuTorch program; None for other targets."""
        return None

    @property
    def suffix(self) -> str:
        """The suffix of the artifact's file name that distinguishes options of the same precision (default: none)."""
        return ""
