"""Read the inventory of a `.tflite` file: operators, constants and int8 layers."""

from collections import Counter
from pathlib import Path

from shvit_mobile.contracts.manifest import Inventory
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.targets.litert.flatbuffer import get_dtypes, is_constant, iterate_graph, read_model


def read_inventory(path: AnyPath) -> Inventory:
    """Count the operators, the bytes of constants by dtype, and the layers with int8 input and int8 weight.

    Raises:
        BadArtifact: If the file cannot be read, is not a LiteRT model, or is damaged.
        ToolMissing: If ai-edge-litert is not installed.
    """
    model = read_model(Path(path))
    views = list(iterate_graph(model))
    sizes: Counter[str] = Counter()
    for buffer, tensor in {tensor.buffer: tensor for tensor in model.subgraphs[0].tensors}.items():
        if is_constant(model, tensor):
            sizes[get_dtypes()[tensor.type].name] += len(model.buffers[buffer].data)
    quantized = sum(
        view.is_layer and all(get_dtypes()[tensor.type].name == "int8" for tensor in view.inputs[:2]) for view in views
    )
    return Inventory(
        operators=dict(sorted(Counter(view.kind for view in views).items())),
        weight_bytes=dict(sorted(sizes.items())),
        quantized_layers=quantized,
    )
