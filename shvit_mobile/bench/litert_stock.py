"""Exports a program of torch.export with LiteRT's own tools, in the environment `litert`.

litert_stock.py PROGRAM IMAGES FP32 INT8: reads a program and calibration images (.npy, each an input of the program);
writes the converter's float model, and that of AI Edge Quantizer's recipe for static int8.
"""

import sys

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer.quantizer import Quantizer
from ai_edge_quantizer.recipe import static_wi8_ai8


def export(program: str, images: str, fp32: str, int8: str) -> None:
    values = np.load(images)
    module = torch.export.load(program).module()
    shape = next(node for node in module.graph.nodes if node.op == "placeholder").meta["val"].shape
    litert_torch.convert(module, (torch.zeros(shape),)).export(fp32)
    ((signature, names),) = Interpreter(fp32).get_signature_list().items()
    quantizer = Quantizer(fp32)
    quantizer.load_quantization_recipe(static_wi8_ai8())
    ranges = quantizer.calibrate({signature: [{names["inputs"][0]: image} for image in values]})
    quantizer.quantize(ranges).export_model(int8)


if __name__ == "__main__":
    export(*sys.argv[1:])
