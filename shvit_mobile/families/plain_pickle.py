"""Reading of what torch.save and pickle write, without executing anything that the file names.

The opcodes of a pickle can call any function and any class. Here they call none: tensors, arrays and plain values are
built by the functions of this module, and everything else becomes an inert `OpaqueObject` that keeps its arguments and
its state. A file that names a function of Python itself, such as os.system, is refused. This is stricter than torch's
`weights_only`, which calls the constructors that it allows.
"""

import builtins
import io
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import BuiltinFunctionType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
_DTYPES: dict[str, torch.dtype] = {
    f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)
}
_STORAGE_DTYPES: dict[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
# Modules of Python whose classes only hold values; naming another one is taken for an attempt to run code.
_DATA_MODULES = (
    *("abc", "argparse", "array", "collections", "copyreg", "dataclasses", "datetime", "decimal", "enum", "fractions"),
    *(
        "functools",
        "ipaddress",
        "logging",
        "numbers",
        "pathlib",
        "random",
        "re",
        "statistics",
        "string",
        "time",
        "types",
    ),
    *("typing", "uuid", "weakref", "zoneinfo"),
)
# Pickles of enumerations and of bound methods name this function. It is not called either.
_HARMLESS_FUNCTIONS = ("getattr",)
# A pickle may have a value copied again and again; what is copied in all is limited to this many times the file.
_MAX_COPIES = 8


class RefusedCode(Exception):
    """A pickle that names a function of Python; its text is the function."""


class UnreadablePickle(Exception):
    """A pickle that is damaged, or not of torch."""


@dataclass(eq=False)
class OpaqueObject:
    """An object of a class that was not imported.

    Attributes:
        type_name: The class, or the function that would have built the object.
        arguments: What it would have been called with.
        state: What `__setstate__` would have got, or the attributes.
        items: What would have been appended or set as items.
    """

    type_name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)

    @property
    def attributes(self) -> Mapping[Any, Any]:
        """The attributes and items, as far as they have names."""
        parts = self.state if isinstance(self.state, tuple) else (self.state,)
        return {key: value for part in (*parts, self.items) if isinstance(part, Mapping) for key, value in part.items()}


@dataclass(frozen=True)
class _Global:
    """A name in a pickle: of a class, a function, a dtype."""

    name: str


Storage = Callable[[torch.dtype, str, int], Tensor]


def read_torch_zip(archive: zipfile.ZipFile, root: str) -> object:
    """Read the object in an archive that torch.save wrote.

    Args:
        archive: The archive; its checksums are verified while it is read, if it has any.
        root: The folder of data.pkl in it, with a slash at the end.

    Raises:
        RefusedCode: If it names a function of Python.
        UnreadablePickle: If it is damaged.
    """
    names = set(archive.namelist())
    if f"{root}byteorder" in names and archive.read(f"{root}byteorder").strip() != b"little":
        raise UnreadablePickle("its numbers have another byte order")

    def read_storage(dtype: torch.dtype, key: str, _: int) -> Tensor:
        return _view_bytes(archive.read(f"{root}data/{key}"), dtype)

    data = archive.read(f"{root}data.pkl")
    return _load(_PlainUnpickler(data, read_storage, None))


def read_pickle(data: bytes, *, nested: bool = False) -> object:
    """Read the object in a pickle, or in a file that torch.save wrote before version 1.6.

    Args:
        data: The whole file.
        nested: Whether it comes out of another pickle; then no further one is read.

    Raises: As `read_torch_zip`.
    """
    stream = io.BytesIO(data)
    first = _load(_PlainUnpickler(data, _refuse_storage, stream, nested))
    if first != _MAGIC_NUMBER:
        return first
    for _ in range(2):  # the version of the protocol, and facts about the machine
        _load(_PlainUnpickler(data, _refuse_storage, stream, nested))
    storages: dict[str, Tensor] = {}
    allocated = 0

    def reserve_storage(dtype: torch.dtype, key: str, count: int) -> Tensor:
        nonlocal allocated
        allocated += count * dtype.itemsize
        if count < 0 or allocated > len(data):
            raise UnreadablePickle("its tensors are larger than the file")
        return storages.setdefault(key, torch.empty(count, dtype=dtype))

    result = _load(_PlainUnpickler(data, reserve_storage, stream, nested))
    for key in _as_list(_load(_PlainUnpickler(data, _refuse_storage, stream, nested))):
        storage = storages.get(str(key))
        count = int.from_bytes(stream.read(8), "little")
        if storage is None or count != storage.numel():
            raise UnreadablePickle("its tensors do not fit its index")
        content = stream.read(count * storage.dtype.itemsize)
        if len(content) != count * storage.dtype.itemsize:
            raise UnreadablePickle("it is cut short")
        storage.copy_(_view_bytes(content, storage.dtype))
    return result


def _load(unpickler: "_PlainUnpickler") -> object:
    try:
        return unpickler.load()
    except (RefusedCode, UnreadablePickle):
        raise
    except Exception as reason:  # made-up opcodes raise errors of any type
        raise UnreadablePickle(str(reason).partition("\n")[0] or type(reason).__name__) from None


def _refuse_storage(dtype: torch.dtype, key: str, count: int) -> Tensor:
    raise UnreadablePickle("it refers to tensors outside of it")


def _view_bytes(content: bytes, dtype: torch.dtype) -> Tensor:
    """Return bytes as a tensor with one dimension."""
    return torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)


class _PlainUnpickler(pickle._Unpickler):
    """The machine of Python's pickle with its calls taken out."""

    dispatch: ClassVar[Any] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, data: bytes, read_storage: Storage, stream: io.BytesIO | None, nested: bool = False) -> None:
        super().__init__(stream or io.BytesIO(data), encoding="utf-8", errors="surrogateescape")
        self._read_storage, self._storages = read_storage, dict[tuple[str, torch.dtype], Tensor]()
        self._budget = _MAX_COPIES * max(len(data), 1 << 16)
        self.nested = nested

    def find_class(self, module: str, name: str) -> Any:
        """Return the name itself, or a dtype; nothing is imported."""
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        full = f"{module}.{name}"
        package = module.partition(".")[0]
        of_python = package in sys.stdlib_module_names or package in ("nt", "posix")
        if module == "builtins":
            function = isinstance(getattr(builtins, name.partition(".")[0], None), BuiltinFunctionType)
            refused = function and name not in _HARMLESS_FUNCTIONS
        else:
            refused = of_python and package not in _DATA_MODULES
        if refused and full not in _BUILDERS:
            raise RefusedCode(full)
        return _DTYPES.get(full) or _Global(full)

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage, or for old files the class, to which an id refers."""
        if isinstance(pid, tuple) and pid[:1] == ("module",):
            return pid[1]
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], _Global):
            raise UnreadablePickle("it has a reference that torch.save does not write")
        # Quantized and other tensors are not built, so the type of their numbers does not matter.
        dtype = _STORAGE_DTYPES.get(pid[1].name.rpartition(".")[2], torch.uint8)
        key, count = str(pid[2]), pid[4]
        if not isinstance(count, int):
            raise UnreadablePickle("it has a storage without a size")
        if (key, dtype) not in self._storages:
            self._storages[key, dtype] = self._read_storage(dtype, key, count)
        return self._storages[key, dtype]

    def spend(self, size: int) -> None:
        """Account for a copy of a value."""
        self._budget -= size
        if self._budget < 0:
            raise UnreadablePickle("it unpacks to far more than its size")

    def construct(self, called: Any, arguments: Any) -> Any:
        """Return the value that a call stands for; the call is never made."""
        if isinstance(called, OpaqueObject):  # a method of a class that was not imported
            return OpaqueObject(called.type_name, (called, arguments))
        if not isinstance(called, _Global) or not isinstance(arguments, tuple):
            raise UnreadablePickle("it calls something that has no name")
        builder = _BUILDERS.get(called.name)
        return builder(self, *arguments) if builder else OpaqueObject(called.name, arguments)

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self.construct(self.stack[-1], arguments)

    def load_newobj(self) -> None:
        self.load_reduce()

    def load_newobj_ex(self) -> None:
        keywords, arguments, called = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.stack.append(OpaqueObject(called.name, (*arguments, keywords)))

    def load_inst(self) -> None:
        module, name = (self.readline()[:-1].decode("ascii") for _ in range(2))
        self.stack.append(self.construct(self.find_class(module, name), tuple(self.pop_mark())))

    def load_obj(self) -> None:
        called, *arguments = self.pop_mark()
        self.stack.append(self.construct(called, tuple(arguments)))

    def load_build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], OpaqueObject):
            self.stack[-1].state = state

    def load_append(self) -> None:
        value = self.stack.pop()
        self._add([value])

    def load_appends(self) -> None:
        self._add(self.pop_mark())

    def load_additems(self) -> None:
        self._add(self.pop_mark())

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self) -> None:
        self._set(self.pop_mark())

    def load_bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        self.stack.append(self.read(size))

    def _add(self, values: list[Any]) -> None:
        """Add to the list on top of the stack."""
        target = self.stack[-1]
        if type(target) is list:
            target.extend(values)
        elif type(target) is set:
            target.update(values)
        elif isinstance(target, OpaqueObject):
            target.items.update(enumerate(values, len(target.items)))
        else:
            raise UnreadablePickle(f"it adds items to a {type(target).__name__}")

    def _set(self, pairs: list[Any]) -> None:
        """Set the items of the mapping on top of the stack."""
        target = self.stack[-1]
        target = target.items if isinstance(target, OpaqueObject) else target
        if type(target) is not dict:
            raise UnreadablePickle(f"it sets items of a {type(target).__name__}")
        target.update(zip(pairs[::2], pairs[1::2], strict=True))

    for _opcode, _method in {
        pickle.REDUCE: load_reduce,
        pickle.NEWOBJ: load_newobj,
        pickle.NEWOBJ_EX: load_newobj_ex,
        pickle.INST: load_inst,
        pickle.OBJ: load_obj,
        pickle.BUILD: load_build,
        pickle.APPEND: load_append,
        pickle.APPENDS: load_appends,
        pickle.ADDITEMS: load_additems,
        pickle.SETITEM: load_setitem,
        pickle.SETITEMS: load_setitems,
        pickle.BYTEARRAY8: load_bytearray8,
    }.items():
        dispatch[_opcode[0]] = _method
    for _opcode in (pickle.EXT1, pickle.EXT2, pickle.EXT4):
        del dispatch[_opcode[0]]


def _as_list(values: object) -> list[Any]:
    if not isinstance(values, list | tuple | set):
        raise UnreadablePickle(f"it has a {type(values).__name__} where a list belongs")
    return list(values)


def _build_dict(reader: _PlainUnpickler, content: object = (), *_: object) -> dict[Any, Any]:
    """Build what OrderedDict, defaultdict, Counter and dict stand for; a defaultdict's argument is its factory."""
    if isinstance(content, dict):
        reader.spend(64 * len(content))
        return dict(content)
    pairs = [] if content is None or isinstance(content, _Global) else _as_list(content)
    reader.spend(64 * len(pairs))
    return dict(map(_as_list, pairs))


def _build_list(reader: _PlainUnpickler, content: object = (), *_: object) -> list[Any]:
    values = _as_list(content)
    reader.spend(64 * len(values))
    return values


def _build_bytes(reader: _PlainUnpickler, content: object = b"", *_: object) -> bytes:
    if not isinstance(content, bytes | str):
        raise UnreadablePickle("it makes bytes of what is neither bytes nor text")
    reader.spend(len(content))
    return content.encode("latin-1") if isinstance(content, str) else content


def _build_value(_: _PlainUnpickler, content: object = None, *more: object) -> object:
    """Build a number or text from a literal; other arguments are kept, unread."""
    return content if isinstance(content, int | float | str | bytes | complex) else None


def _build_complex(_: _PlainUnpickler, real: float = 0.0, imaginary: float = 0.0) -> complex:
    return complex(float(real), float(imaginary))


def _build_size(reader: _PlainUnpickler, content: object = ()) -> tuple[Any, ...]:
    return tuple(_build_list(reader, content))


def _build_tensor(_: _PlainUnpickler, storage: Tensor, offset: int, size: Any, stride: Any, *more: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)  # which checks that they lie in the storage


def _build_tensor_with_dtype(
    _: _PlainUnpickler,
    storage: Tensor,
    offset: int,
    size: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: torch.dtype,
    *more: Any,
) -> Tensor:
    return storage.view(dtype).as_strided(size, stride, offset)


def _get_first(_: _PlainUnpickler, value: Any, *more: Any) -> Any:
    return value


def _build_of_type(reader: _PlainUnpickler, called: Any, _: Any, arguments: Any, *more: Any) -> Any:
    """Build a tensor of a subclass, without the subclass."""
    return reader.construct(called, arguments)


def _build_object(_: _PlainUnpickler, called: _Global, *more: Any) -> OpaqueObject:
    return OpaqueObject(called.name)


def _build_storage(reader: _PlainUnpickler, content: bytes) -> Any:
    """Read the storage of a tensor that pickle wrote, instead of torch.save: a file of torch.save inside the pickle."""
    reader.spend(len(content))
    if reader.nested or content.startswith(b"PK"):
        raise UnreadablePickle("it holds a file of torch.save inside")
    return read_pickle(content, nested=True)


def _build_numpy_scalar(_: _PlainUnpickler, dtype: Any, content: Any = b"") -> object:
    array = _read_array(dtype, (), content)
    return array.item() if array is not None else None


def _build_array(_: _PlainUnpickler, content: Any, dtype: Any, shape: Any, order: Any = "C") -> Any:
    return OpaqueObject("numpy.ndarray", (), (1, shape, dtype, order == "F", content))


_Builder = Callable[..., Any]
_BUILDERS: dict[str, _Builder] = {
    **dict.fromkeys(("collections.OrderedDict", "collections.defaultdict", "collections.Counter"), _build_dict),
    **dict.fromkeys(("builtins.dict", "types.MappingProxyType"), _build_dict),
    **dict.fromkeys(("builtins.set", "builtins.frozenset", "builtins.list", "collections.deque"), _build_list),
    **dict.fromkeys(("builtins.bytearray", "builtins.bytes", "_codecs.encode"), _build_bytes),
    **dict.fromkeys((f"builtins.{name}" for name in ("bool", "float", "int", "str")), _build_value),
    "builtins.complex": _build_complex,
    **dict.fromkeys(("builtins.tuple", "torch.Size"), _build_size),
    **dict.fromkeys(("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"), _build_tensor),
    "torch._utils._rebuild_tensor_v3": _build_tensor_with_dtype,
    **dict.fromkeys(
        ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state", "torch.nn.Parameter"),
        _get_first,
    ),
    "torch._tensor._rebuild_from_type_v2": _build_of_type,
    "torch.storage._load_from_bytes": _build_storage,
    "copyreg._reconstructor": _build_object,
    **dict.fromkeys((f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")), _build_numpy_scalar),
    **dict.fromkeys((f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")), _build_array),
    **dict.fromkeys(
        (f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")),
        lambda _, *more: OpaqueObject("numpy.ndarray"),
    ),
}


def convert_array(value: OpaqueObject) -> Tensor | None:
    """Return the numbers of a numpy array as a tensor; None if the object is not one, or has no numbers."""
    if value.type_name != "numpy.ndarray" or not isinstance(value.state, tuple) or len(value.state) != 5:
        return None
    _, shape, dtype, fortran, content = value.state
    try:
        array = _read_array(dtype, tuple(shape), content, "F" if fortran else "C")
        return None if array is None else torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    except (TypeError, ValueError):
        return None


def _read_array(dtype: Any, shape: Iterable[int], content: Any, order: Any = "C") -> np.ndarray[Any, Any] | None:
    """Return bytes as numbers of a numpy dtype, as the pickle describes it; None if they are not numbers."""
    if not isinstance(dtype, OpaqueObject) or dtype.type_name != "numpy.dtype" or not isinstance(content, bytes):
        return None
    kind = str(dtype.arguments[0]).lstrip("<>|=")
    swapped = isinstance(dtype.state, tuple) and dtype.state[1:2] == (">",)
    if kind[:1] not in "biufc" or not kind[1:].isdigit():
        return None
    return np.frombuffer(content, np.dtype((">" if swapped else "<") + kind)).reshape(tuple(shape), order=order)
