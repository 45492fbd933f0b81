"""What the tests of the executor build packages from: MIL written by hand, and small torch modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import Function, Program
from numpy.typing import NDArray
from torch import nn

Array = NDArray[Any]


@dataclass(frozen=True)
class OperatorCase:
    """One use of an operator: `mil` builds it on inputs, `expected` says what comes out, in numpy or torch."""

    mil: Callable[..., Any]
    expected: Callable[..., Any]
    inputs: tuple[Array, ...] = field(default=())


def draw_array(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> Array:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def name_input(case: str, index: int = 0) -> str:
    """The name of a case's input; not `case_0`, which is what the builder calls the first operator of a type."""
    return f"{case}_input_{index}"


def save_cases(
    cases: Mapping[str, OperatorCase], path: Path, opset: ct.target = ct.target.iOS17, *, fp16: bool = False
) -> Path:
    """One package with every case of a table: inputs as `name_input` says, and one output `name` each.

    With `fp16` it computes in fp16 between inputs and outputs in fp32.
    """
    inputs = {
        name_input(name, index): mb.placeholder(array.shape)
        for name, case in cases.items()
        for index, array in enumerate(case.inputs)
    }
    with Function(inputs, opset_version=opset) as function:
        outputs = []
        for name, case in cases.items():
            taken = [function.inputs[name_input(name, index)] for index in range(len(case.inputs))]
            outputs.append(mb.identity(x=case.mil(*taken), name=name))
        function.set_outputs(outputs)
    program = Program()
    program.add_function("main", function)
    precision = ct.precision.FLOAT16 if fp16 else ct.precision.FLOAT32
    passes = ["common::add_fp16_cast"] if fp16 else []
    return save_model(convert_program(program, opset, precision, passes), path)


def convert_program(
    program: Program, opset: ct.target, precision: ct.precision = ct.precision.FLOAT32, passes: Sequence[str] = ()
) -> Any:
    """A model of just these operators: no pass but `passes` may rewrite them."""
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=opset,
        compute_precision=precision,
        pass_pipeline=ct.PassPipeline(list(passes), "own"),
        skip_model_load=True,
    )


def convert_module(
    module: nn.Module,
    *shape: int,
    fp16: bool = False,
    opset: ct.target = ct.target.iOS16,
    **options: Any,
) -> Any:
    """A torch module converted with coremltools' default passes; input `x`, output `y` unless `options` say else."""
    traced = torch.jit.trace(module, torch.zeros(shape))
    options = {"inputs": [ct.TensorType("x", shape=shape)], "outputs": [ct.TensorType("y")]} | options
    return ct.convert(
        traced,
        minimum_deployment_target=opset,
        compute_precision=ct.precision.FLOAT16 if fp16 else ct.precision.FLOAT32,
        skip_model_load=True,
        **options,
    )


def save_model(model: Any, path: Path) -> Path:
    model.save(str(path))
    return path


def collect_inputs(cases: Mapping[str, OperatorCase]) -> dict[str, Array]:
    return {name_input(name, index): array for name, case in cases.items() for index, array in enumerate(case.inputs)}
