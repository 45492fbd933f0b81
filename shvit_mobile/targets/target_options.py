"""The base class of each target's options."""


class TargetOptions:
    """The base of each target's options."""

    @property
    def suffix(self) -> str:
        """The suffix of the artifact's file name that distinguishes options of the same precision (default: none)."""
        return ""
