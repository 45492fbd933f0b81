"""Read and run an `.aimodel` package with Apple's Core AI: a program of its own, at the other end of `process.py`.

Usage: `worker.py PIPE inspect|run|expose|check PACKAGE`: the file descriptor of a connection, what to do, and the
package. It imports neither torch nor shvit-mobile, which would take seconds.

The first message is a `+` with the facts in JSON. After "run", each message with the float32 values of the inputs is
answered by a `+` with the float32 values of the outputs, one tensor after the other. After "expose", a message with the
names of values and two paths in JSON is answered when two packages are written there, see `_write_exposed`. "check"
writes a package of its own and runs it once. Instead of any answer there may be a `!` with an error message, or a `?`
if the library cannot be loaded.
"""

import asyncio
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from math import prod
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

DONE, FAILED, MISSING = b"+", b"!", b"?"
_MAIN = "main"
_CALLEE = re.compile(r"@(\w+)_[a-z0-9]+")
_LAYER_OPERATORS = ("conv2d", "broadcasting_batch_matmul", "batch_matmul")
# Operators that only move the values of a weight or an activation.
_MOVING_OPERATORS = ("pad", "reshape", "transpose")
_CHECK_PROGRAM = """
module {
  coreai.graph @main(%x: tensor<2xf32> {coreai.name = "x"}) -> (tensor<2xf32> {coreai.name = "y"}) {
    %y = coreai.relu %x : (tensor<2xf32>) -> tensor<2xf32>
    coreai.output %y : tensor<2xf32>
  }
}
"""
_DTYPES = {
    "f64": ("float64", 64),
    "f32": ("float32", 32),
    "f16": ("float16", 16),
    "bf16": ("bfloat16", 16),
    "si8": ("int8", 8),
    "ui8": ("uint8", 8),
    "si4": ("int4", 4),
    "ui4": ("uint4", 4),
    "ui2": ("uint2", 2),
    "ui1": ("uint1", 1),
}


def main(descriptor: str, command: str, path: str) -> None:
    """Answer until the other end closes the connection."""
    pipe = Connection(int(descriptor))
    try:
        from coreai.authoring import AIModelAsset

        if command == "check":
            _write_check_package(Path(path))
        asset = AIModelAsset.load(Path(path))
        if command == "check":
            asyncio.run(_check_asset(asset))
            pipe.send_bytes(DONE + json.dumps({"version": version("coreai-core")}).encode())
        elif command == "inspect":
            pipe.send_bytes(DONE + json.dumps(count_contents(asset.program)).encode())
        elif command == "expose":
            program = asset.program  # another one each time
            names = _name_values(program)
            pipe.send_bytes(DONE + json.dumps({"operators": _describe_operators(program, names)}).encode())
            _write_exposed(program, names, **json.loads(pipe.recv_bytes()))
            pipe.send_bytes(DONE)
        else:
            with suppress(EOFError, OSError):
                asyncio.run(_serve(pipe, asset))
    except ImportError as reason:
        pipe.send_bytes(MISSING + _encode_error(reason))
    except Exception as reason:
        with suppress(OSError):
            pipe.send_bytes(FAILED + _encode_error(reason))


def _write_check_package(path: Path) -> None:
    from coreai._compiler.ir import Module
    from coreai.authoring import AIProgram, Context

    with Context():
        AIProgram._from_mlir_module(Module.parse(_CHECK_PROGRAM)).save_asset(path)


async def _check_asset(asset: Any) -> None:
    """Run the package for "check", and raise `ArithmeticError` if it computes something else."""
    from coreai.runtime import NDArray

    async with asset.executable() as model:
        computed = await model.load_function(_MAIN)({"x": NDArray(np.array([-1.0, 2.0], np.float32))})
    values = computed["y"].numpy().tolist()
    if values != [0.0, 2.0]:
        raise ArithmeticError(f"the relu of -1 and 2 is {values}")


async def _serve(pipe: Connection, asset: Any) -> None:
    from coreai.runtime import NDArray

    async with asset.executable() as model:
        function = model.load_function(_MAIN)
        known = function.desc
        inputs = [(name, known.input_descriptor(name)) for name in known.input_names]
        outputs = [(name, known.output_descriptor(name)) for name in known.output_names]
        signature = {"inputs": _describe_tensors(inputs), "outputs": _describe_tensors(outputs)}
        pipe.send_bytes(DONE + json.dumps(signature).encode())
        while True:
            values = np.frombuffer(pipe.recv_bytes(), np.float32)
            ends = np.cumsum([prod(tensor.shape) for _, tensor in inputs])
            parts = np.split(values, ends[:-1])
            try:
                given = {
                    name: NDArray(np.array(part, tensor.dtype).reshape(tensor.shape))
                    for (name, tensor), part in zip(inputs, parts, strict=True)
                }
                computed = await function(given)
                arrays = [np.asarray(computed[name].numpy(), np.float32) for name, _ in outputs]
                answer = DONE + b"".join(array.tobytes() for array in arrays)
            except Exception as reason:
                answer = FAILED + _encode_error(reason)
            pipe.send_bytes(answer)


def count_contents(program: Any) -> dict[str, Any]:
    """Return the fields of an inventory of a Core AI program."""
    operators, sizes, quantized = Counter[str](), Counter[str](), 0
    for graph in program._module._mlir_module.body.operations:
        for operation in _iterate_operations(graph):
            name = get_operator_name(operation)
            if name == "constant":
                sizes.update(_measure_constant(operation))
            elif _is_main(graph) and name != "output":
                operators[_get_callee(operation) if name == "invoke" else name] += 1
                quantized += name in _LAYER_OPERATORS and all(map(_is_dequantized, list(operation.operands)[:2]))
    return {
        "operators": dict(sorted(operators.items())),
        "weight_bytes": dict(sorted(sizes.items())),
        "quantized_layers": quantized,
    }


def _find_main(program: Any) -> Any:
    return next(graph for graph in program._module._mlir_module.body.operations if _is_main(graph)).operation


def _name_values(program: Any) -> dict[Any, str]:
    """Return a name for each value of the main graph: that of an input, or a number."""
    main = _find_main(program)
    attributes = main.attributes["arg_attrs"]
    names = {
        value: attributes[index]["coreai.name"].value for index, value in enumerate(main.regions[0].blocks[0].arguments)
    }
    for operation in _iterate_operations(main):
        for value in operation.operation.results:
            names[value] = f"%{len(names)}"
    return names


def _describe_operators(program: Any, names: dict[Any, str]) -> list[dict[str, Any]]:
    """Return the operators of the main graph, with the names of their values, and the shape of the first result."""
    found = []
    for operation in _iterate_operations(_find_main(program)):
        kind, results = get_operator_name(operation), list(operation.operation.results)
        if results:
            found.append(
                {
                    "operator": _get_callee(operation) if kind == "invoke" else kind,
                    "inputs": [names[value] for value in operation.operation.operands],
                    "outputs": [names[value] for value in results],
                    "shape": list(results[0].type.shape),
                }
            )
    return found


def _write_exposed(program: Any, names: dict[Any, str], exposed: list[str], free: str, forced: str) -> None:
    """Write a package with values as additional outputs, and another in which each use of them is an input instead.

    Args:
        program: The program, which is changed.
        names: The names of its values.
        exposed: The names of the values.
        free: The first package. An output has the name of its value.
        forced: The second one. An input is called "NAME (given)".
    """
    from coreai._compiler import ir
    from coreai.authoring import AIProgram

    module, main = program._module._mlir_module, _find_main(program)
    block, values = main.regions[0].blocks[0], {name: value for value, name in names.items()}
    chosen = [values[name] for name in exposed]

    def save(path: str) -> None:
        Path(path).parent.mkdir()
        AIProgram._from_mlir_module(module).save_asset(Path(path))

    def extend(attribute: str, added: list[str]) -> None:
        """Name additional inputs or outputs."""
        named = [ir.DictAttr.get({"coreai.name": ir.StringAttr.get(name)}) for name in added]
        main.attributes[attribute] = ir.ArrayAttr.get([*ir.ArrayAttr(main.attributes[attribute]), *named])

    with module.context, ir.Location.unknown():
        last = block.operations[len(block.operations) - 1].operation
        results = [*last.operands, *chosen]

        def set_outputs() -> None:
            nonlocal last
            ended = ir.Operation.create(last.name, operands=results, ip=ir.InsertionPoint(last))
            last.erase()
            last = ended
            types = [value.type for value in block.arguments], [value.type for value in results]
            main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(*types))

        set_outputs()
        extend("res_attrs", exposed)
        save(free)
        for value in chosen:
            value.replace_all_uses_with(block.add_argument(value.type, ir.Location.unknown()))
        set_outputs()
        extend("arg_attrs", [f"{name} (given)" for name in exposed])
        save(forced)


def get_operator_name(operation: Any) -> str:
    """Return the name of an operator without its dialect: "conv2d"."""
    return str(operation.operation.name).rpartition(".")[2]


def _is_main(graph: Any) -> bool:
    return "sym_name" in graph.operation.attributes and graph.operation.attributes["sym_name"].value == _MAIN


def _iterate_operations(graph: Any) -> Iterator[Any]:
    for region in graph.operation.regions:
        for block in region.blocks:
            yield from block.operations


def _get_callee(operation: Any) -> str:
    """Return the composite operator that an invocation calls, without what tells it from others: "layer_norm"."""
    found = _CALLEE.search(str(operation.operation.attributes["callee"]))
    return found[1] if found else "invoke"


def _measure_constant(operation: Any) -> dict[str, int]:
    """Return the bytes of a constant by dtype; nothing for shapes, axes and strides, which are larger integers."""
    tensor = operation.operation.results[0].type
    dtype, bits = _DTYPES.get(str(tensor.element_type), ("", 0))
    return {dtype: -(-prod(tensor.shape) * bits // 8)} if dtype else {}


def _is_dequantized(value: Any) -> bool:
    """Return whether a value comes from a `dequantize`, perhaps padded or reshaped since."""
    owner = value.owner
    while hasattr(owner, "name") and get_operator_name(owner) in _MOVING_OPERATORS:
        owner = owner.operation.operands[0].owner
    return hasattr(owner, "name") and get_operator_name(owner) in ("dequantize", "blockwise_shift_scale")


def _describe_tensors(tensors: list[tuple[str, Any]]) -> list[tuple[str, str, list[int | None]]]:
    """Return the name, the dtype and the shape of each; None for a size that is not fixed."""
    return [(name, tensor.dtype, list(tensor.shape)) for name, tensor in tensors]


def _encode_error(reason: Exception) -> bytes:
    return (str(reason).strip().partition("\n")[0] or type(reason).__name__).encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
    # Python's end may abort the process, see `process.py`.
    os._exit(0)
