"""Loads contestants: each engine returns a function that runs one inference and waits until it ends.

An engine's libraries are imported on demand; the input is created once, outside the measurement.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.bench.contestant import BenchmarkSubject, Engine
from shvit_mobile.errors import BadArtifact, ToolMissing
from shvit_mobile.quiet import silence_libraries

Inference = Callable[[], object]


def load_subject(subject: BenchmarkSubject, threads: int) -> Inference:
    """Load a subject for a number of threads.

    Raises:
        ToolMissing: If its engine does not run on this system.
        BadArtifact: If its engine rejects it.
    """
    load, _ = _ENGINES[subject.engine]
    return load(subject, threads)


def import_engine(subject: BenchmarkSubject) -> None:
    """Import everything that `load_subject` needs.

    Raises:
        ToolMissing: If a library is not installed.
    """
    try:
        with silence_libraries():
            for module in _ENGINES[subject.engine][1]:
                import_module(module)
    except ImportError as reason:
        missing = reason.name or subject.engine
        raise ToolMissing(
            f"{subject.name} needs {missing}, which is not installed.", hint=f"pip install {missing}"
        ) from None


def is_installed(engine: Engine) -> bool:
    """Return whether an engine's libraries are installed, without importing them."""
    return all(find_spec(module.partition(".")[0]) for module in _ENGINES[engine][1])


def _create_input(subject: BenchmarkSubject) -> NDArray[Any]:
    """Create an input of random pixel values; values do not affect latency."""
    generator = np.random.default_rng(0)
    if subject.dtype in ("uint8", "int8"):
        bounds = np.iinfo(subject.dtype)
        return generator.integers(bounds.min, bounds.max, subject.shape, dtype=subject.dtype, endpoint=True)
    return generator.uniform(0, 255, subject.shape).astype(np.float32)


def _load_executorch(subject: BenchmarkSubject, threads: int) -> Inference:
    import torch

    from shvit_mobile.runtimes.executorch import load_program

    with silence_libraries():
        from executorch.extension.pybindings import _portable_lib

    torch.set_num_threads(threads)
    _portable_lib._unsafe_reset_threadpool(threads)
    program, method = load_program(Path(subject.source))
    image = torch.from_numpy(_create_input(subject)).contiguous()

    def run() -> object:
        # `program` must live as long as its method.
        return program and method.execute([image])

    return run


def _load_onnxruntime(subject: BenchmarkSubject, threads: int) -> Inference:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Threads that spin after their work would slow the next contestant.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = ort.InferenceSession(subject.source, options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # ONNX Runtime's errors have no base of their own
        raise BadArtifact(f"ONNX Runtime cannot load {subject.source}: {reason}") from reason
    name, image = session.get_inputs()[0].name, _create_input(subject)
    return lambda: session.run(None, {name: image})


def load_coreml(subject: BenchmarkSubject, threads: int) -> Inference:
    from shvit_mobile.runtimes.coreml import CORE_ML_AVAILABLE, make_native_predictor
    from shvit_mobile.targets.opened_package import OpenedPackage

    if not CORE_ML_AVAILABLE:
        raise ToolMissing(
            f"{subject.name} cannot be timed here.",
            why="Core ML runs on Apple's systems only; the speed of the reference executor says nothing about it.",
            hint="Benchmark it on a Mac, or with the app on a phone.",
        )
    package = OpenedPackage(Path(subject.source))
    predict = make_native_predictor(package.path)
    values = _create_input(subject)
    images = values.transpose(0, 2, 3, 1) if subject.dtype == "uint8" else values
    return lambda: predict({subject.input_name: images})


def _load_openvino(subject: BenchmarkSubject, threads: int) -> Inference:
    import openvino

    core = openvino.Core()
    model = core.read_model(subject.source)
    model.reshape(list(subject.shape))
    compiled = core.compile_model(
        model, "CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    )
    request, image = compiled.create_infer_request(), _create_input(subject)
    return lambda: request.infer([image], share_inputs=True)


def _load_coreai(subject: BenchmarkSubject, threads: int) -> Inference:
    """Load a Core AI package in this process; its runtime chooses its threads itself."""
    import asyncio

    from coreai.authoring import AIModelAsset
    from coreai.runtime import NDArray as CoreAIArray

    from shvit_mobile.targets.coreai.package import check_package

    path = Path(subject.source)
    check_package(path)
    loop, opened = asyncio.new_event_loop(), AIModelAsset.load(path).executable()
    function = loop.run_until_complete(opened.__aenter__()).load_function("main")
    image = {subject.input_name: CoreAIArray(_create_input(subject))}

    async def run() -> object:
        return await function(image)

    # The model lives as long as the context.
    return lambda context=opened: loop.run_until_complete(run())  # type: ignore[misc]


def _load_mnn(subject: BenchmarkSubject, threads: int) -> Inference:
    import MNN

    manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": threads, "precision": "normal"},))
    network = MNN.nn.load_module_from_file(subject.source, [subject.input_name], ["logits"], runtime_manager=manager)
    image = MNN.expr.const(_create_input(subject), list(subject.shape), MNN.expr.NCHW)
    return lambda: network.forward([image])[0].read()


def _load_litert(subject: BenchmarkSubject, threads: int) -> Inference:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(subject.source, num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], _create_input(subject))
    return interpreter.invoke  # type: ignore[no-any-return]


def _load_torch(subject: BenchmarkSubject, threads: int) -> Inference:
    """Load a checkpoint with folded BatchNorms, or a timm model; channels last is faster."""
    import torch

    from shvit_mobile.bench.timm_models import create_timm_module
    from shvit_mobile.deploy.fold import fold_batchnorm
    from shvit_mobile.families.checkpoints import load_checkpoint

    torch.set_num_threads(threads)
    kind, _, name = subject.source.partition(":")
    module: Any = create_timm_module(name) if kind == "timm" else fold_batchnorm(load_checkpoint(subject.source))
    module = module.float().eval().requires_grad_(False).to(memory_format=torch.channels_last)
    image = torch.from_numpy(_create_input(subject)).contiguous(memory_format=torch.channels_last)
    compiled = subject.engine == "torch-compile"
    if compiled:
        module = torch.compile(module, dynamic=False)

    def run() -> object:
        with torch.no_grad() if compiled else torch.inference_mode():
            return module(image)

    if compiled:
        with silence_libraries():
            run()
    return run


# The loader of each engine, and the libraries that it needs.
_ENGINES: dict[Engine, tuple[Callable[[BenchmarkSubject, int], Inference], tuple[str, ...]]] = {
    "executorch": (_load_executorch, ("torch", "executorch.runtime", "shvit_mobile.runtimes.executorch")),
    "onnxruntime": (_load_onnxruntime, ("onnxruntime",)),
    "coreml": (load_coreml, ("shvit_mobile.runtimes.coreml",)),
    "coreai": (_load_coreai, ("coreai.authoring",)),
    "openvino": (_load_openvino, ("openvino",)),
    "mnn": (_load_mnn, ("MNN", "MNN.nn", "MNN.expr")),
    "litert": (_load_litert, ("ai_edge_litert.interpreter",)),
    "torch": (
        _load_torch,
        ("torch", *(f"shvit_mobile.{name}" for name in ("bench.timm_models", "deploy.fold", "families.checkpoints"))),
    ),
    "torch-compile": (_load_torch, ("torch", "torch._inductor.compile_fx", "shvit_mobile.bench.timm_models")),
}
