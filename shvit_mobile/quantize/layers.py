"""The layers of a deploy form that int8 quantizes, and the check that a recipe fits them."""

from collections.abc import Iterator, Mapping

from torch import nn

from shvit_mobile.contracts.recipe import INT8_ARITHMETIC, ActivationRange, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.wiring import get_layer_path
from shvit_mobile.errors import BadRecipe

DenseLayer = nn.Conv2d | nn.Linear


def find_dense_layers(module: nn.Module) -> Iterator[tuple[str, DenseLayer]]:
    """Yield the layers that int8 quantizes: convolutions and linear layers that mix channels, without the head.

    Subclasses that compute something else than their base are left out.
    """
    width = get_head_width(module)
    for name, layer in module.named_modules():
        is_dense = isinstance(layer, nn.Conv2d) and type(layer).forward is nn.Conv2d.forward and layer.groups == 1
        is_linear = isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward
        if is_dense or (is_linear and layer.out_features != width):
            yield name, layer


def get_head_width(module: nn.Module) -> int | None:
    """Return the outputs of the last linear layer, which are the logits; None if there is no linear layer."""
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return linear[-1].out_features if linear else None


def get_call_range(ranges: Mapping[str, ActivationRange], call: str) -> ActivationRange:
    """Return the range of a call of a layer, by the name of the call; that of the layer if it has none of its own."""
    return ranges[call if call in ranges else get_layer_path(call)]


def select_int8_ranges(deployed: DeployForm, recipe: Recipe) -> dict[str, ActivationRange]:
    """Return the ranges of the layers that an int8 recipe quantizes, by name, and those of their further calls.

    Raises:
        BadRecipe: If the recipe is not int8, or its layers are not the model's.
    """
    check_recipe_layers(deployed, recipe)
    return {name: seen for name, seen in recipe.ranges.items() if get_layer_path(name) not in recipe.float_layers}


def select_int8_layers(deployed: DeployForm, recipe: Recipe) -> set[str]:
    """Return the layers that an int8 or int8-dynamic recipe quantizes.

    Raises:
        BadRecipe: If the recipe has another precision, or its layers are not the model's.
    """
    check_recipe_layers(deployed, recipe)
    return {name for name, _ in find_dense_layers(deployed.module)} - set(recipe.float_layers)


def list_static_only_layers(deployed: DeployForm) -> tuple[str, ...]:
    """Return the layers that int8-dynamic leaves in float by default.

    They are the first layers, where measuring the range takes longer than int8 saves on three channels, and those that
    see a single position, as in a squeeze-excite.
    """
    single = {call.name for call in deployed.wiring.calls if call.kind != "residual" and call.positions == 1}
    kept = single | set(deployed.wiring.first_layers)
    return tuple(name for name, _ in find_dense_layers(deployed.module) if name in kept)


def check_recipe_layers(deployed: DeployForm, recipe: Recipe) -> None:
    """Raise `BadRecipe` unless the recipe has a range for each dense layer that runs, or keeps it in float."""
    if recipe.precision not in INT8_ARITHMETIC:
        raise BadRecipe(f"The recipe's precision is {recipe.precision}, not int8.")
    layers = {name for name, _ in find_dense_layers(deployed.module)}
    calls = {call.name for call in deployed.wiring.calls if call.layer in layers}
    unknown = sorted((set(recipe.ranges) - layers - calls) | (set(recipe.float_layers) - layers))
    static = recipe.precision == "int8"
    running = layers & deployed.wiring.calls_of_layers.keys()
    missing = sorted(running - set(recipe.ranges) - set(recipe.float_layers)) if static else []
    if unknown or missing:
        first = f"it names {unknown[0]}, which is no dense layer" if unknown else f"it has no range of {missing[0]}"
        raise BadRecipe(
            f"The recipe does not fit {deployed.trained.variant}: {first}.",
            why="A recipe belongs to the model it was calibrated on.",
            hint="Calibrate again.",
        )
