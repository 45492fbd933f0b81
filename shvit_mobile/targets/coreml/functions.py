"""A package for several image sizes: a function for each, with the weights stored once."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from shvit_mobile.quiet import silence_libraries
from shvit_mobile.targets.coreml.convert import hide_progress_bars, import_coremltools
from shvit_mobile.targets.coreml.package import WEIGHTS_ITEM, write_package
from shvit_mobile.targets.coreml.spec.package import DEFAULT_FUNCTION, MLPackage


def merge_packages(packages: Mapping[str, Path], path: Path) -> None:
    """Write a package with the program of each of several packages as a function; equal weights are stored once.

    The metadata are those of the first package, whose function runs by default.

    Args:
        packages: The packages by the name of their function.
        path: The new package, which must not exist.

    Raises:
        ToolMissing: If coremltools is not installed.
    """
    ct, first = import_coremltools(), next(iter(packages))
    descriptor = ct.utils.MultiFunctionDescriptor()
    for name, package in packages.items():
        descriptor.add_function(str(package), DEFAULT_FUNCTION, name)
    descriptor.default_function_name = first
    with TemporaryDirectory() as folder, silence_libraries(), hide_progress_bars():
        merged = Path(folder, "merged.mlpackage")
        ct.utils.save_multifunction(descriptor, str(merged))
        model = MLPackage(merged).model
        model.description.metadata.CopyFrom(MLPackage(packages[first]).model.description.metadata)
        write_package(model, merged / "Data" / WEIGHTS_ITEM, path)
