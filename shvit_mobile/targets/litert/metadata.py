"""What a `.tflite` file holds of its manifest: JSON in the metadata, under a name of this project."""

import json
from pathlib import Path
from typing import Any

from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.targets.litert.editing import GraphEditor
from shvit_mobile.targets.litert.flatbuffer import read_model

_NAME = "shvit-mobile"


def write_facts(model: Any, deployed: DeployForm, recipe: Recipe) -> None:
    """Store labels, preprocessing, precision and checkpoint in a model, in place."""
    trained = deployed.trained
    model.description = f"{trained.variant} in {recipe.precision_name}, by shvit-mobile".encode()
    facts = {
        "labels": list(trained.labels),
        "preprocessing": trained.preprocessing.as_fields(),
        "precision": recipe.precision_name,
        "checkpoint": trained.sha256,
        "range of input values": deployed.input_domain,
    }
    GraphEditor(model).set_metadata(_NAME, json.dumps(facts, ensure_ascii=False).encode())


def read_facts(path: Path) -> dict[str, Any]:
    """Return what a file holds, with the names of its inputs and outputs; nothing of what is not there.

    Raises:
        BadArtifact: If the file cannot be read, is not a LiteRT model, or is damaged.
        ToolMissing: If ai-edge-litert is not installed.
    """
    model = read_model(path)
    graph = model.subgraphs[0]
    stored = [entry for entry in model.metadata or () if entry.name == _NAME.encode()]
    try:
        known = json.loads(bytes(model.buffers[stored[0].buffer].data)) if stored else None
    except (ValueError, TypeError, IndexError, RecursionError):
        known = None
    facts: dict[str, Any] = known if isinstance(known, dict) else {}
    names = {
        kind: sorted((graph.tensors[index].name or b"").decode(errors="replace") for index in places)
        for kind, places in (("input", graph.inputs), ("outputs", graph.outputs))
    }
    return facts | names
