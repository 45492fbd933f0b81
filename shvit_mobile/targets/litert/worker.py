"""Converts a program of torch.export to a float .tflite, in the environment `litert`: worker.py PROGRAM RESULT.

The steps are those of litert_torch.convert, without its second torch.export, and with the scopes that the program has.
"""

import sys

import torch
from litert_torch import fx_infra
from litert_torch._convert import core, litert_converter
from litert_torch._convert.signature import Signature


def convert(program: str, result: str) -> None:
    exported = torch.export.load(program)
    shape = next(node for node in exported.graph.nodes if node.name in exported.graph_signature.user_inputs)
    signature = Signature("serving_default", exported.module(), (torch.zeros(shape.meta["val"].shape),), {})
    decompositions = fx_infra.decomp.pre_convert_decomp()
    exported = fx_infra.graph_utils.reset_from_node_meta(exported)
    exported = fx_infra.safe_run_decompositions(exported, decompositions, can_skip=False)
    exported = core._run_convert_passes(exported)
    litert_converter.exported_programs_to_flatbuffer([exported], [signature]).to_file(result)


if __name__ == "__main__":
    convert(*sys.argv[1:])
