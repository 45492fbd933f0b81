"""Import the protobuf messages of Core ML models without the rest of coremltools."""

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from shvit_mobile.quiet import build_missing_error

_ALIAS = f"{__package__}._coremltools_proto"


@cache
def import_messages(module: str) -> Any:
    """Import one of coremltools' generated modules: "Model_pb2", "MIL_pb2" or "FeatureTypes_pb2".

    The import of coremltools takes ten seconds and writes a dozen warnings, so this imports its `proto` folder under
    another name. protobuf has one description per message, so both names give the same classes.

    Raises:
        ToolMissing: If coremltools is not installed.
    """
    if _ALIAS not in sys.modules:
        _load_proto_folder()
    return import_module(f"{_ALIAS}.{module}")


def _load_proto_folder() -> None:
    library = find_spec("coremltools")
    if library is None or library.origin is None:
        raise build_missing_error("coremltools", "Its protobuf messages read Core ML packages.")
    folder = Path(library.origin).parent / "proto"
    spec = spec_from_file_location(_ALIAS, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    package = module_from_spec(spec)
    sys.modules[_ALIAS] = package
    spec.loader.exec_module(package)
