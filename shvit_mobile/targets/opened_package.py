"""Opens the Core ML package that an artifact is, or that an ExecuTorch program contains as its delegate."""

import shutil
from pathlib import Path
from tempfile import mkdtemp
from weakref import finalize

from shvit_mobile.targets.coreml_payload import unpack_payload
from shvit_mobile.targets.pte import COREML_BACKEND, read_delegate_payload


class OpenedPackage:
    """A Core ML package on disk, if need be unpacked into a temporary folder that lives as long as this object.

    Attributes:
        path: The package.
    """

    def __init__(self, artifact: Path) -> None:
        """Open an `.mlpackage`, or the package in a `.pte`.

        Raises:
            BadArtifact: If the program or its delegate is damaged, or its delegate is not Core ML's.
            ToolMissing: If ExecuTorch, whose schemas and flatc read programs, is not installed.
        """
        self.path = artifact
        if artifact.suffix == ".pte":
            payload = read_delegate_payload(artifact, COREML_BACKEND)
            folder = Path(mkdtemp(prefix="shvit-mobile-"))
            finalize(self, shutil.rmtree, folder, ignore_errors=True)
            # Errors name the package's path, which should contain the program's name.
            self.path = unpack_payload(payload, folder / artifact.name, artifact)
