"""The layers of a deploy form that int8 quantizes, and the check that a recipe fits them."""

from collections.abc import Iterator

from torch import fx, nn

from shvit_mobile.contracts.recipe import INT8_ARITHMETIC, ActivationRange, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe

# The first convolution of the stem.
FIRST_LAYERS = ("patch_embed.0",)
# The buffer of the mean that is subtracted from pixels before it, if the deploy form takes pixels.
PIXEL_MEAN_BUFFER = "patch_embed.centre.mean"


def find_dense_convolutions(module: nn.Module) -> Iterator[tuple[str, nn.Conv2d]]:
    """Yield the layers that int8 quantizes, by name: convolutions that mix channels."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.groups == 1:
            yield name, layer


def find_layers_before_relu(module: nn.Module) -> set[str]:
    """Return the layers whose output is used by a relu only; int8 rounds it after the relu."""
    relus = {name for name, layer in module.named_modules() if isinstance(layer, nn.ReLU)}
    graph = fx.symbolic_trace(module).graph
    return {
        str(node.target)
        for node in graph.nodes
        if node.op == "call_module" and len(node.users) == 1 and next(iter(node.users)).target in {"relu", *relus}
    }


def select_int8_ranges(deployed: DeployForm, recipe: Recipe) -> dict[str, ActivationRange]:
    """Return the ranges of the layers that an int8 recipe quantizes, by name.

    Raises:
        BadRecipe: If the recipe is not int8, or its layers are not the model's.
    """
    check_recipe_layers(deployed, recipe)
    return {name: seen for name, seen in recipe.ranges.items() if name not in recipe.float_layers}


def select_int8_layers(deployed: DeployForm, recipe: Recipe) -> set[str]:
    """Return the layers that an int8 or int8-dynamic recipe quantizes.

    Raises:
        BadRecipe: If the recipe has another precision, or its layers are not the model's.
    """
    check_recipe_layers(deployed, recipe)
    return {name for name, _ in find_dense_convolutions(deployed.module)} - set(recipe.float_layers)


def is_dynamic_by_default(name: str) -> bool:
    """Return whether int8-dynamic quantizes a layer by default.

    It leaves out the first layer, where measuring the range takes longer than int8 saves on three channels, and
    squeeze-excites, which see a single position.
    """
    return not (name in FIRST_LAYERS or ".se." in name)


def find_layer_name(node: fx.Node) -> str:
    """Return the name, in the deploy form, of the layer that a node of an exported graph came from."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    path: str = list(stack.values())[-1][0]
    return path


def check_recipe_layers(deployed: DeployForm, recipe: Recipe) -> None:
    """Raise `BadRecipe` unless the recipe has a range for each dense convolution that it does not keep float."""
    if recipe.precision not in INT8_ARITHMETIC:
        raise BadRecipe(f"The recipe's precision is {recipe.precision}, not int8.")
    layers = {name for name, _ in find_dense_convolutions(deployed.module)}
    unknown = sorted((set(recipe.ranges) | set(recipe.float_layers)) - layers)
    static = recipe.precision == "int8"
    missing = sorted(layers - set(recipe.ranges) - set(recipe.float_layers)) if static else []
    if unknown or missing:
        first = (
            f"it names {unknown[0]}, which is no dense convolution" if unknown else f"it has no range of {missing[0]}"
        )
        raise BadRecipe(
            f"The recipe does not fit {deployed.trained.variant}: {first}.",
            why="A recipe belongs to the model it was calibrated on.",
            hint="Calibrate again.",
        )
