"""Which layers of a deploy form int8 quantizes, and whether a recipe fits them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, fx, nn

from shvit_mobile.contracts.recipe import INT8_ARITHMETIC, ActivationRange, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe

# The first convolution of the stem.
FIRST_LAYERS = ("patch_embed.0",)
# What is subtracted from pixels before it, where the deploy form takes pixels.
PIXEL_MEAN_BUFFER = "patch_embed.centre.mean"


def find_dense_convolutions(module: nn.Module) -> Iterator[tuple[str, nn.Conv2d]]:
    """The layers int8 quantizes, by name: convolutions that mix channels. The head, a linear layer, stays float."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.groups == 1:
            yield name, layer


def get_bias(layer: nn.Conv2d) -> Tensor:
    """The bias of a convolution of the deploy form, shape (out channels,)."""
    if layer.bias is None:
        raise TypeError("every convolution of the deploy form has a bias")
    return layer.bias


def find_layers_before_relu(module: nn.Module) -> set[str]:
    """The layers of a deploy form whose output goes through a relu and nowhere else; int8 rounds it behind that."""
    relus = {name for name, layer in module.named_modules() if isinstance(layer, nn.ReLU)}
    graph = fx.symbolic_trace(module).graph
    return {
        str(node.target)
        for node in graph.nodes
        if node.op == "call_module" and len(node.users) == 1 and next(iter(node.users)).target in {"relu", *relus}
    }


def select_int8_ranges(deployed: DeployForm, recipe: Recipe) -> dict[str, ActivationRange]:
    """The ranges of the layers that an int8 recipe wants quantized, by name.

    Raises:
        BadRecipe: the recipe is not int8, or its layers are not the model's.
    """
    check_recipe_layers(deployed, recipe)
    return {name: seen for name, seen in recipe.ranges.items() if name not in recipe.float_layers}


def select_int8_layers(deployed: DeployForm, recipe: Recipe) -> set[str]:
    """The layers that an int8 or int8-dynamic recipe wants quantized.

    Raises:
        BadRecipe: the recipe is of another precision, or its layers are not the model's.
    """
    check_recipe_layers(deployed, recipe)
    return {name for name, _ in find_dense_convolutions(deployed.module)} - set(recipe.float_layers)


def is_dynamic_by_default(name: str) -> bool:
    """Whether int8-dynamic quantizes a layer unless told otherwise.

    Not the stem's first, whose three channels are soon multiplied and long in being looked over for their range, nor
    the squeeze-excites, which see a single position.
    """
    return not (name in FIRST_LAYERS or ".se." in name)


def find_layer_name(node: fx.Node) -> str:
    """The deploy form's name of the layer that a node of an exported graph came from."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    path: str = list(stack.values())[-1][0]
    return path


def check_recipe_layers(deployed: DeployForm, recipe: Recipe) -> None:
    """Raises `BadRecipe` unless the recipe has a range for each dense convolution that it does not keep float."""
    if recipe.precision not in INT8_ARITHMETIC:
        raise BadRecipe(f"The recipe's precision is {recipe.precision}, not int8.")
    layers = {name for name, _ in find_dense_convolutions(deployed.module)}
    strange = sorted((set(recipe.ranges) | set(recipe.float_layers)) - layers)
    static = recipe.precision == "int8"
    missing = sorted(layers - set(recipe.ranges) - set(recipe.float_layers)) if static else []
    if strange or missing:
        first = (
            f"it names {strange[0]}, which is no dense convolution" if strange else f"it has no range of {missing[0]}"
        )
        raise BadRecipe(
            f"The recipe does not fit {deployed.trained.variant}: {first}.",
            why="A recipe belongs to the model it was calibrated on.",
            hint="Calibrate anew: shvit-mobile export --quantize int8 --calibration DIR",
        )
