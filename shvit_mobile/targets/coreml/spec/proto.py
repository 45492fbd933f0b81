"""The protobuf messages of Core ML models, without the rest of coremltools."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from shvit_mobile.errors import ToolMissing

ALIAS = f"{__package__}._coremltools_proto"


@cache
def import_messages(module: str) -> Any:
    """One of coremltools' generated modules: "Model_pb2", "MIL_pb2" or "FeatureTypes_pb2".

    coremltools itself takes ten seconds to import and writes a dozen warnings, so its `proto` folder is loaded under
    another name. protobuf keeps one description of each message, so both names give the same classes.

    Raises:
        ToolMissing: coremltools is not installed.
    """
    if ALIAS not in sys.modules:
        load_proto_folder()
    return import_module(f"{ALIAS}.{module}")


def load_proto_folder() -> None:
    found = find_spec("coremltools")
    if found is None or found.origin is None:
        raise ToolMissing(
            "coremltools is not installed.",
            why="Its protobuf messages are needed to read Core ML packages.",
            hint="pip install coremltools==9.0",
        )
    folder = Path(found.origin).parent / "proto"
    spec = spec_from_file_location(ALIAS, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    package = module_from_spec(spec)
    sys.modules[ALIAS] = package
    spec.loader.exec_module(package)
