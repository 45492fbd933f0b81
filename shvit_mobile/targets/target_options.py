"""What the options of every target have in common."""

from __future__ import annotations


class TargetOptions:
    """The base of each target's options."""

    @property
    def suffix(self) -> str:
        """What tells the artifact's name from that of another form in the same precision; mostly nothing."""
        return ""
