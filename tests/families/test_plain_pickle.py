"""Pickles: plain data is read, nothing that a file names is imported or called, and no file takes much memory."""

import argparse
import builtins
import datetime
import enum
import io
import os
import pathlib
import pickle
import pickletools
import sys
import types
import zipfile
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque

import numpy as np
import pytest
import torch

from shvit_mobile.families.plain_pickle import (
    OpaqueObject,
    RefusedCode,
    UnreadablePickle,
    convert_array,
    read_pickle,
    read_torch_zip,
)


def reopened(value, **options):
    """The value, written by torch.save and read."""
    file = io.BytesIO()
    torch.save(value, file, **options)
    if not zipfile.is_zipfile(file):
        return read_pickle(file.getvalue())
    with zipfile.ZipFile(file) as archive:
        return read_torch_zip(archive, archive.namelist()[0].removesuffix("data.pkl"))


PLAIN = {
    "numbers": ([1, 2.5, True, None, 10**30, 1j], [1, 2.5, True, None, 10**30, 1j]),
    "texts": (["ü", b"b\xff", bytearray(b"x")], ["ü", b"b\xff", b"x"]),
    "an OrderedDict": (OrderedDict(a=1), {"a": 1}),
    "a defaultdict": (defaultdict(list, a=[1]), {"a": [1]}),
    "a Counter": (Counter("aab"), {"a": 2, "b": 1}),
    "a set": ({1}, [1]),
    "a deque": (deque([1, 2]), [1, 2]),
    "a size": (torch.Size([1, 2]), (1, 2)),
    "a numpy scalar": (np.float64(89.5), 89.5),
    "a big-endian scalar": (np.array([7], dtype=">i4")[0], 7),
    "a dtype": (torch.float16, torch.float16),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(("value", "expected"), PLAIN.values(), ids=PLAIN)
def test_plain_values_are_read(value, expected, protocol):
    read = reopened({"value": value}, pickle_protocol=protocol)["value"]
    assert (list(read) if isinstance(read, set) else read) == expected


class Color(enum.Enum):
    RED = 1


class Config:
    def __init__(self):
        self.size = 192


OBJECTS = {
    "a Namespace": (argparse.Namespace(size=192), "argparse.Namespace"),
    "a SimpleNamespace": (types.SimpleNamespace(size=192), "types.SimpleNamespace"),
    "an own class": (Config(), f"{__name__}.Config"),
}


@pytest.mark.parametrize(("value", "name"), OBJECTS.values(), ids=OBJECTS)
def test_objects_keep_their_attributes_without_their_class(value, name, monkeypatch):
    monkeypatch.delattr(sys.modules[__name__], "Config", raising=False) if name.startswith("argparse") else None
    read = reopened(value)
    assert (read.type_name, dict(read.attributes)) == (name, {"size": 192})


def test_times_paths_and_generators_are_inert():
    now = datetime.datetime.now(zoneinfo.ZoneInfo("UTC"))
    values = [
        now,
        datetime.timedelta(1),
        pathlib.Path("a/b"),
        Color.RED,
        np.random.default_rng(1),
        np.random.get_state(),
    ]
    read = reopened(values)
    assert [type(one) for one in read[:-1]] == [OpaqueObject] * 5
    assert read[-1][0] == "MT19937"


@pytest.mark.parametrize("protocol", [2, 5])
def test_numpy_arrays_become_tensors(protocol):
    for array in (
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(3, dtype=">f4"),
    ):
        read = convert_array(reopened({"a": array}, pickle_protocol=protocol)["a"])
        assert read.tolist() == array.tolist()
    assert convert_array(reopened(np.array([Config()], dtype=object))) is None


TENSORS = {
    "float": torch.randn(3, 4),
    "half": torch.randn(3).half(),
    "bfloat16": torch.randn(3).bfloat16(),
    "float8": torch.ones(3).to(torch.float8_e4m3fn),
    "a view": torch.randn(10)[2:8:2],
    "transposed": torch.randn(3, 4).t(),
    "empty": torch.empty(0, 3),
    "a number": torch.tensor(3),
    "a parameter": torch.nn.Parameter(torch.randn(3)),
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("tensor", TENSORS.values(), ids=TENSORS)
def test_tensors_are_read_to_the_bit(tensor, old):
    if old and tensor.dtype == torch.float8_e4m3fn:
        return
    read = reopened([tensor, tensor], _use_new_zipfile_serialization=not old)
    for one in read:
        assert (one.dtype, one.shape, one.stride()) == (tensor.dtype, tensor.shape, tensor.stride())
        assert torch.equal(one.float(), tensor.detach().float())


def test_a_state_dict_that_pickle_wrote_is_read():
    state = torch.nn.Linear(2, 3).state_dict()
    read = read_pickle(pickle.dumps(state))
    assert all(torch.equal(read[name], state[name]) for name in state)


class Bomb:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Stateful(Bomb):
    def __reduce__(self):
        return self.function, self.arguments, {"__setstate__": os.system, "__class__": Bomb}


FUNCTIONS = (os.system, builtins.eval, builtins.exec, builtins.__import__, builtins.setattr, os.mkdir, io.open)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("bomb", [Bomb, Stateful])
def test_functions_of_python_are_refused_and_not_called(bomb, function, tmp_path, monkeypatch):
    target = tmp_path / "made"
    argument = f"touch {target}" if function is os.system else str(target)
    for protocol in range(6):
        with pytest.raises(RefusedCode):
            read_pickle(b"\x80\x02" + pickle.dumps(bomb(function, argument), protocol=protocol))
    assert not target.exists()


MADE_BY_HAND = {
    "an instance": b"(S'echo'\nios\nsystem\n.",
    "an object": b"(cos\nsystem\nS'echo'\no.",
    "a name in two parts": b"\x8c\x02os\x8c\x06system\x93.",
    "a nested name": b"\x8c\x05types\x8c\x0cFunctionType\x93\x8c\x02os\x8c\x06system\x93.",
    "an old module": b"c__builtin__\neval\n(S'1'\ntR.",
    "importlib": b"cimportlib\nimport_module\n(S'os'\ntR.",
    "a submodule": b"cos.path\njoin\n(S'os'\ntR.",
    "operator": b"coperator\nattrgetter\n(S'x'\ntR.",
}


@pytest.mark.parametrize("data", MADE_BY_HAND.values(), ids=MADE_BY_HAND)
def test_names_are_refused_by_whatever_opcode_they_come(data):
    with pytest.raises(RefusedCode):
        read_pickle(b"\x80\x04" + data)


def test_functions_of_torch_and_numpy_are_not_called(tmp_path):
    torch.save([1], tmp_path / "file")
    for function in (torch.load, torch.hub.load, np.load):
        read = reopened(Bomb(function, str(tmp_path / "file")))
        assert isinstance(read, OpaqueObject)


TRICKS = {
    "calling a text": b"S'eval'\n)R.",
    "setting an item of a tensor": b"ctorch._utils\n_rebuild_tensor_v2\nK\x00K\x01s.",
    "an extension": b"\x82\x01.",
    "a reference to nothing": b"S'x'\nQ.",
    "a reference to code": b"(S'storage'\ncargparse\nNamespace\ntQ.",
    "a buffer of other programs": b"\x97.",
    "a huge bytearray": b"\x96" + (2**40).to_bytes(8, "little") + b"x.",
    "a bytearray of a number": b"cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R.",
    "a tensor out of nothing": b"ctorch._utils\n_rebuild_tensor_v2\n(]K\x00K\x03K\x01tR.",
    "an unknown opcode": b"\xff.",
    "no end": b"]",
}


@pytest.mark.parametrize("data", TRICKS.values(), ids=TRICKS)
def test_tricks_end_in_an_error(data):
    with pytest.raises((UnreadablePickle, RefusedCode)):
        read_pickle(b"\x80\x02" + data)


def test_attributes_of_objects_stay_data():
    """A state that would replace `__class__`, or the attributes of a class or function, changes nothing but data."""
    data = b"\x80\x02cargparse\nNamespace\n)\x81}(X\x09\x00\x00\x00__class__X\x01\x00\x00\x00aub."
    pickletools.dis(data, io.StringIO())
    read = read_pickle(data)
    assert type(read) is OpaqueObject
    assert read.attributes == {"__class__": "a"}
    on_class = b"\x80\x02ccollections\nOrderedDict\n}(X\x07\x00\x00\x00__new__X\x01\x00\x00\x00aub0]."
    assert read_pickle(on_class) == []
    assert reopened(OrderedDict(a=1)) == {"a": 1}


def test_copies_of_a_long_text_are_limited():
    encode = (
        b"c_codecs\nencode\nX"
        + (10**6).to_bytes(4, "little")
        + b"a" * 10**6
        + b"q\x00X\x06\x00\x00\x00latin1q\x01\x86R"
    )
    again = b"c_codecs\nencode\nh\x00h\x01\x86R"
    with pytest.raises(UnreadablePickle, match="far more"):
        read_pickle(b"\x80\x02(" + encode + again * 50 + b"l.")


@pytest.mark.parametrize("count", [2**40, -1])
def test_storages_of_old_files_cannot_claim_more_than_the_file(count):
    content = io.BytesIO()
    torch.save(torch.ones(3), content, _use_new_zipfile_serialization=False)
    for old, new in ((b"K\x03N", b"\x8a\x08" + count.to_bytes(8, "little", signed=True) + b"N"),):
        data = content.getvalue()
        assert old in data
        with pytest.raises(UnreadablePickle):
            read_pickle(data.replace(old, new))
