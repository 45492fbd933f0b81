"""The ExecuTorch target: lower a deploy form to a .pte program for XNNPACK on phone CPUs, Core ML, or Vulkan."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.input_layout import BLOCK_SIZE, count_blocks
from shvit_mobile.contracts.manifest import (
    DEFAULT_METHOD,
    DELEGATES,
    UNPROVEN_DELEGATES,
    Delegate,
    InputContract,
)
from shvit_mobile.contracts.recipe import INT8_ARITHMETIC, Precision, Recipe
from shvit_mobile.deploy.exporting import export_model, share_node_histories
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.fp16_form import HalfPrecision, check_fp16_constants, rewrite_for_fp16
from shvit_mobile.deploy.head_equalization import equalize_head
from shvit_mobile.deploy.layers import find_head
from shvit_mobile.deploy.space_to_depth_stem import compute_border_values, convert_stem_to_space_to_depth
from shvit_mobile.deploy.verification import list_tensors
from shvit_mobile.deploy.xnnpack_form import rewrite_graph, rewrite_modules
from shvit_mobile.errors import (
    BadRecipe,
    ConflictingParameters,
    VerificationFailed,
    parse_choice,
)
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.quiet import import_library, silence_libraries
from shvit_mobile.targets import build_result, coreml_delegate
from shvit_mobile.targets.build_result import BuildResult
from shvit_mobile.targets.image_sizes import check_more_sizes, check_sized_model, format_sizes_suffix, list_sizes
from shvit_mobile.targets.pte import inspect_program
from shvit_mobile.targets.target_options import TargetOptions
from shvit_mobile.targets.xnnpack_stem import convert_stem_to_pixel_pairs

PRECISIONS: dict[Delegate, tuple[Precision, ...]] = {
    "xnnpack": ("fp32", "fp16", "int8", "int8-dynamic"),
    "coreml": coreml_delegate.PRECISIONS,
    "vulkan": ("fp32", "fp16", "int8"),
}
STEMS = ("plain", "space-to-depth")
HEADS = ("auto", "float", "int8-dynamic")
FLOAT_DTYPES = ("fp32", "fp16")
# The options that other delegates do not allow, and why.
_XNNPACK_OPTIONS = {
    **dict.fromkeys(("stem", "head", "float_dtype"), "It changes what XNNPACK runs."),
    "etrecord": "It holds the graphs that were lowered to XNNPACK.",
    "bundled": "Its test cases are executed before it is written, which the Python runtime does with XNNPACK only.",
    "more_sizes": "Each size is a method whose weights XNNPACK finds in the file.",
}
ETRECORD_SUFFIX, BUNDLED_SUFFIX = ".etrecord", ".bpte"
# What a manifest does not list among the options: files beside the program, and sizes, which have a field.
_UNRECORDED_OPTIONS = {"etrecord", "bundled", "more_sizes"}
# Above this share of the weights, a float head shows in the file size and the latency. A thousand classes take 3 to 5%.
LARGE_HEAD_SHARE = 0.02


@dataclass(frozen=True)
class ExecuTorchOptions(TargetOptions):
    """Options of the ExecuTorch target.

    Attributes:
        delegate: What runs the program. "xnnpack" for the CPU; ExecuTorch's own portable kernels run the operators that
            it does not support. "coreml" for Core ML on Apple's systems, from iOS 17 on, as one package.
            "vulkan" for the GPU of Android phones, which nothing but a phone can run.
        stem: XNNPACK: "space-to-depth" for an input that the host rearranges into blocks, so that the first convolution
            needs no stride and the graph no padding.
        head: XNNPACK: the head under int8: "int8-dynamic" for equalized int8 weights and an input range from each
            image; "float" for an unchanged head; "auto" for int8 if the head is large.
        float_dtype: XNNPACK: what int8 leaves in float computes in "fp16" instead of "fp32". It costs phones fewer
            instructions and needs a CPU with fp16 arithmetic.
        etrecord: XNNPACK: write an ETRecord beside the program: its graphs, for ExecuTorch's developer tools. It holds
            numbers of graphs, which differ from export to export.
        bundled: XNNPACK: write a bundled program beside the program: the same with the goldens as test cases.
        more_sizes: XNNPACK: other image sizes, (height, width), that the program of a classifier takes beside the
            model's own. Each has a method, `forward_HEIGHTxWIDTH`, and all of them share the weights.

    Raises:
        UnknownChoice: If `delegate`, `stem`, `head` or `float_dtype` is unknown.
        InvalidValue: If a size is out of range, or given twice.
        ConflictingParameters: If an option of XNNPACK is given with another delegate, or `more_sizes` with a file for
            ExecuTorch's developer tools.
    """

    delegate: Delegate = "xnnpack"
    stem: Literal["plain", "space-to-depth"] = "plain"
    head: Literal["auto", "float", "int8-dynamic"] = "auto"
    float_dtype: Literal["fp32", "fp16"] = "fp32"
    etrecord: bool = False
    bundled: bool = False
    more_sizes: tuple[tuple[int, int], ...] = ()

    SIDE_SUFFIXES: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"etrecord": ETRECORD_SUFFIX, "bundled": BUNDLED_SUFFIX}
    )

    def __post_init__(self) -> None:
        parse_choice(self.delegate, DELEGATES, "delegate")
        parse_choice(self.stem, STEMS, "stem")
        parse_choice(self.head, HEADS, "head")
        parse_choice(self.float_dtype, FLOAT_DTYPES, "float_dtype")
        for name, why in _XNNPACK_OPTIONS.items():
            value = getattr(self, name)
            if self.delegate != "xnnpack" and value != type(self).__dataclass_fields__[name].default:
                raise ConflictingParameters(
                    f"`{name}={value}` is given with `delegate={self.delegate}`.",
                    why=why,
                    hint="Leave one of them out.",
                    parameter=name,
                )
        check_more_sizes(self.more_sizes)
        if self.more_sizes and self.side_suffixes:
            raise ConflictingParameters(
                "`more_sizes` is given with `etrecord` or `bundled`.",
                why="Their test cases and graphs are of one size.",
                hint="Export that size alone, too.",
                parameter="more_sizes",
            )

    def check_precision(self, precision: Precision) -> None:
        """Raise `ConflictingParameters` if the head is int8, or the float part fp16, and the precision is not int8."""
        if self.head == "int8-dynamic" and precision not in INT8_ARITHMETIC:
            raise ConflictingParameters(
                f"{precision} does not allow an int8 head.",
                hint="Export int8 with `head='int8-dynamic'`, and the other precisions separately.",
                parameter="head",
            )
        if self.float_dtype == "fp16" and precision not in INT8_ARITHMETIC:
            raise ConflictingParameters(
                f"{precision} does not allow `float_dtype=fp16`.",
                why="It is the dtype of what int8 leaves in float, and a program in fp16 has it everywhere.",
                hint="Set `precision=int8`, or leave `float_dtype` out.",
                parameter="float_dtype",
            )

    @property
    def suffix(self) -> str:
        stem = {"plain": "", "space-to-depth": "-blocks"}[self.stem]
        head = {"auto": "", "float": "-head32", "int8-dynamic": "-head8"}[self.head]
        floats = {"fp32": "", "fp16": "-fp16"}[self.float_dtype]
        return stem + head + floats + format_sizes_suffix(self.more_sizes)

    def check_model(self, trained: TrainedModel) -> None:
        check_sized_model(trained, self.more_sizes)


def build(deployed: DeployForm, recipe: Recipe, path: Path, options: ExecuTorchOptions) -> BuildResult:
    """Lower a deploy form and write the program to `path`; the same inputs give the same bytes.

    The program takes one contiguous float32 image, see `build_input_contract`, and returns float32 logits, shape
    (1, classes), or maps, shape (1, *shape). For Core ML it is one call of a delegate with a package of the Core ML
    target. Batch and size are fixed: XNNPACK splits a graph with a dynamic batch into more partitions, some of which
    fail on the phone.

    Raises:
        VerificationFailed: If a rewrite is not exact, fp16 cannot represent a weight, or the program contains an
            operator that ExecuTorch gets wrong.
        BadRecipe: If the delegate does not support the precision, or the recipe belongs to another model.
        ConflictingParameters: If `head` is 'int8-dynamic', or `float_dtype` 'fp16', and the precision is not int8.
        ToolMissing: If executorch is not installed, or for Core ML coremltools.
    """
    precisions = PRECISIONS[options.delegate]
    if recipe.precision not in precisions:
        raise BadRecipe(
            f"The target executorch has no {recipe.precision} for {options.delegate}.",
            why=f"Its precisions: {', '.join(precisions)}.",
            parameter="precision",
        )
    options.check_precision(recipe.precision)
    packages, etrecord = ["executorch", "torch", "torchao"], None
    sizes = list_sizes(deployed.trained.preprocessing.size, options.more_sizes, DEFAULT_METHOD)
    if options.delegate == "coreml":
        package = coreml_delegate.write_program(deployed, recipe, path)
        contract = package.input
        packages.append("coremltools")
    else:
        options.check_model(deployed.trained)
        if recipe.precision == "fp16":
            deployed = deployed.replace_module(rewrite_for_fp16(deployed.module, deployed))
        contract, partitioner = build_input_contract(deployed, options), _build_partitioner(recipe, options)
        own, *others = (
            _build_method(deployed.resize(size), recipe, options)
            for size in (deployed.trained.preprocessing.size, *options.more_sizes)
        )
        named = dict(zip((one.method for one in sizes[1:]), others, strict=True))
        etrecord = lower_to_program(
            *own,
            path,
            partitioner,
            etrecord=options.etrecord,
            others=named,
            simplified=True,
            float_dtype=options.float_dtype,
        )
    contents = inspect_program(path)
    if contents.wide_softmaxes:
        raise VerificationFailed(
            f"The program has a softmax over four axes ({contents.wide_softmaxes} in all).",
            why="ExecuTorch may run it over other values than the model does, and says nothing.",
            hint="Compute the softmax of your module over three axes.",
        )
    return BuildResult(
        input=contract,
        output=deployed.output,
        inventory=contents.inventory,
        versions={name: version(name) for name in packages},
        options={name: value for name, value in asdict(options).items() if name not in _UNRECORDED_OPTIONS}
        | ({"unproven": True} if options.delegate in UNPROVEN_DELEGATES else {}),
        delegation=contents.delegation,
        etrecord=etrecord,
        sizes=sizes,
    )


def _build_method(
    deployed: DeployForm, recipe: Recipe, options: ExecuTorchOptions
) -> tuple[nn.Module, tuple[int, ...]]:
    """Return the module to export for the size of a deploy form, and the shape of its input."""
    graph = build_graph(deployed, recipe, options)
    if options.float_dtype == "fp16":
        check_fp16_constants(graph, "float_dtype")
    shape = build_input_contract(deployed, options).shape
    return graph if deployed.trained.task == "classify" else ContiguousMaps(graph), shape


class ContiguousMaps(nn.Module):
    """A module whose maps lie in memory as their shapes say: channels, rows, columns.

    XNNPACK's convolutions give them with channels last, and an app that reads the memory of a tensor would not notice.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = list_tensors(self.module(images))
        return tuple(one.to(memory_format=torch.contiguous_format) for one in maps)


def build_input_contract(deployed: DeployForm, options: ExecuTorchOptions) -> InputContract:
    plain = build_result.build_input_contract(deployed, "image")
    if options.stem == "plain":
        return plain
    height, width = deployed.trained.preprocessing.size
    return plain.model_copy(
        update={
            "shape": (1, 3 * BLOCK_SIZE * BLOCK_SIZE, count_blocks(height), count_blocks(width)),
            "layout": options.stem,
            "border": compute_border_values(deployed.module, deployed.entry),
        }
    )


def build_graph(deployed: DeployForm, recipe: Recipe, options: ExecuTorchOptions) -> nn.Module:
    """Return the module to export: the form for XNNPACK in float32, in fp16, or its quantized graph; Vulkan's form."""
    if options.delegate == "vulkan":
        return _build_vulkan_graph(deployed, recipe)
    module, shape = rewrite_modules(deployed), build_input_contract(deployed, options).shape
    rewrite = partial(rewrite_graph, family=deployed.trained.family, shape=shape)
    if options.stem == "space-to-depth":
        module = convert_stem_to_space_to_depth(module, deployed)
        recipe = _set_pixel_input_range(recipe, deployed)
    if recipe.precision not in INT8_ARITHMETIC:
        rewritten = rewrite(module)
        return HalfPrecision(rewritten) if recipe.precision == "fp16" else rewritten
    from shvit_mobile.quantize.pt2e_graph import build_quantized_graph

    if options.stem == "plain" and recipe.precision == "int8":
        module, recipe = convert_stem_to_pixel_pairs(module, deployed, recipe)
    head = find_head(deployed.module, deployed.trained.classes)
    if head and (options.head == "int8-dynamic" or (options.head == "auto" and has_large_head(deployed.module, head))):
        module.set_submodule(head, equalize_head(cast(nn.Linear, module.get_submodule(head))))
    return build_quantized_graph(deployed, recipe, module, shape=shape, rewrite=rewrite)


def _build_vulkan_graph(deployed: DeployForm, recipe: Recipe) -> nn.Module:
    if recipe.precision not in INT8_ARITHMETIC:
        return deployed.module
    from shvit_mobile.quantize.pt2e_graph import build_quantized_graph

    shape = (1, 3, *deployed.trained.preprocessing.size)
    return build_quantized_graph(deployed, recipe, deployed.module, shape=shape)


def has_large_head(module: nn.Module, head: str) -> bool:
    """Return whether the head has at least `LARGE_HEAD_SHARE` of the weights."""
    own, total = (sum(p.numel() for p in part.parameters()) for part in (module.get_submodule(head), module))
    return own >= LARGE_HEAD_SHARE * total


def _set_pixel_input_range(recipe: Recipe, deployed: DeployForm) -> Recipe:
    """Set the first layer's input range to 0 to 255, because the stem on blocks takes pixels, each exact in int8."""
    (first,) = deployed.first_layers
    if deployed.input_domain == "normalised" or first not in recipe.ranges:
        return recipe
    exact = recipe.ranges[first].model_copy(update={"input": (0.0, 255.0)})
    return recipe.model_copy(update={"ranges": {**recipe.ranges, first: exact}})


def _build_partitioner(recipe: Recipe, options: ExecuTorchOptions) -> Any:
    """Return what chooses the operators of the delegate; None for XNNPACK."""
    if options.delegate != "vulkan":
        return None
    module = "executorch.backends.vulkan.partitioner.vulkan_partitioner"
    partitioner = import_library(module, "It writes programs for Vulkan.").VulkanPartitioner
    return partitioner({"force_fp16": recipe.precision == "fp16"})


def lower_to_program(
    module: nn.Module,
    shape: tuple[int, ...],
    path: Path,
    partitioner: Any = None,
    *,
    etrecord: bool = False,
    others: Mapping[str, tuple[nn.Module, tuple[int, ...]]] = MappingProxyType({}),
    simplified: bool = False,
    float_dtype: Literal["fp32", "fp16"] = "fp32",
) -> Any:
    """Lower a module and write the program to `path`; return its ETRecord, None if none is asked.

    Args:
        module, shape: What the program's own method computes, and the shape of its input.
        path: The file.
        partitioner: Chooses the delegate's operators (default: XNNPACK's).
        etrecord: Make an ETRecord.
        others: The same of other methods by name; equal weights are in the file once.
        simplified: Simplify XNNPACK's graph, see `xnnpack_graph.py`; stock programs are as ExecuTorch writes them.
        float_dtype: In what XNNPACK computes what is in float32 in the module, see `xnnpack_fp16.py`.
    """
    exir = import_library("executorch.exir", "It writes .pte programs.")
    with silence_libraries(), share_node_histories(), torch.no_grad():
        from shvit_mobile.targets.idle_passes import skip_idle_runs
        from shvit_mobile.targets.xnnpack_casts import create_partitioner
        from shvit_mobile.targets.xnnpack_fp16 import convert_graph
        from shvit_mobile.targets.xnnpack_graph import change_graphs, simplify_graph

        exported = {
            name: export_model(one, torch.zeros(size))
            for name, (one, size) in {DEFAULT_METHOD: (module, shape), **others}.items()
        }
        changes = [simplify_graph] * simplified + [convert_graph] * (float_dtype == "fp16")
        with skip_idle_runs(), change_graphs(*changes):
            edge = exir.to_edge_transform_and_lower(
                exported, partitioner=[partitioner or create_partitioner()], generate_etrecord=etrecord
            )
        program = edge.to_executorch()
    with path.open("wb") as file:
        program.write_to_file(file)
    return program.get_etrecord() if etrecord else None
