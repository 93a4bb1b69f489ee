"""What a checkpoint's file may say."""

import json
import re
import tempfile

import numpy as np
import pytest
from saved import sealing

from adaps.files.checkpoint.content import DamagedError, from_file, to_bytes

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)
METADATA = {"updates": 3, "config": {"algo": {"entropy": 0.01}}, "on": [True, None]}
GOOD = to_bytes("seed-3", 7, {"train": {"a": ARRAY}}, METADATA)
_, MANIFEST, TENSORS = GOOD.split(b"\n", 2)


def read(data):
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        return from_file(file, len(data))


def sealed(manifest, tensors=TENSORS):
    """A file with another manifest, and the right seal for it."""
    body = manifest + b"\n" + tensors
    return sealing(body) + b"\n" + body


def edited(path, value):
    """The good file with one value of its manifest put in, sealed."""
    data = json.loads(MANIFEST)
    *before, last = path
    inner = data
    for key in before:
        inner = inner[key]
    inner[last] = value
    return sealed(json.dumps(data).encode())


def assert_refused(data, message):
    with pytest.raises(DamagedError, match=message) as caught:
        read(data)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300


def test_there_and_back():
    manifest, parts = read(GOOD)
    assert (manifest.series, manifest.number, manifest.metadata) == ("seed-3", 7, METADATA)
    assert parts["train"]["a"].tobytes() == ARRAY.tobytes()


def test_keys_that_are_numbers_become_text():
    data = to_bytes("seed-3", 7, {}, {"scores": {10: 0.5, 2: (0.25,)}})
    assert read(data)[0].metadata == {"scores": {"10": 0.5, "2": [0.25]}}


PART = ("parts", "train")
OTHER = "holds other tensors than its manifest says"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("extra",), 1, "unknown field `extra`"),
        (("ex\x1b[2J\n",), 1, r"unknown field `ex \[2J `"),
        (("number",), -1, "`int` >= 0 - at `.*number"),
        (("number",), True, "Expected `int`, got `bool`"),
        (("number",), 7.0, "Expected `int`, got `float`"),
        (("number",), 10**400, "Expected `int`"),
        (("series",), 3, "Expected `str`, got `int` - at `.*series"),
        (("parts",), {}, "is no checkpoint"),
        (("parts",), None, "Expected `object`, got `null`"),
        (("parts", "../train"), {}, "matching regex"),
        (("parts", "/etc/passwd"), {}, "matching regex"),
        (("parts", "train\n"), {}, "matching regex"),
        (("parts", "more"), {"a": "float32[2,3]"}, OTHER),
        (PART, 3, "Expected `object`, got `int`"),
        (PART, [], "Expected `object`, got `array`"),
        (PART, {}, OTHER),
        ((*PART, ""), "float32[]", "length >= 1"),
        ((*PART, "__metadata__"), "float32[]", OTHER),
        ((*PART, "a\x1b[2J"), "float32[]", OTHER),
        ((*PART, "a" * 10_000), "float32[]", "length <= 1000"),
        ((*PART, "b"), f"float32[{2**47},{2**47}]", OTHER),
        ((*PART, "a"), {}, "Expected `str`, got `object`"),
        ((*PART, "a"), "object[2,3]", OTHER),
        ((*PART, "a"), "int32[2,3]", OTHER),
        ((*PART, "a"), "float32[3,2]", OTHER),
        ((*PART, "a"), f"float32[2,{2**64}]", OTHER),
    ],
)
def test_what_cannot_be_is_refused_though_it_is_sealed(path, value, message):
    assert_refused(edited(path, value), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is no checkpoint"),
        (b"\xff\xfe", "is no checkpoint"),
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b"[" * 100_000, "is no checkpoint"),
        (b"[" * 101 + b"]" * 101, "nested too deeply"),
        (b'{"metadata":' * 900 + b"1" + b"}" * 900, "nested too deeply"),
        (b'{"metadata": NaN}', "is no checkpoint"),
        (b'{"metadata": -Infinity}', "is no checkpoint"),
        (b'{"metadata": 1e999}', "out of range"),
        (b'{"metadata": ' + b"9" * 10_000 + b"}", "is no checkpoint"),
        (b'{"number": 1, "number": 1}', "missing required field"),
    ],
)
def test_hostile_text_is_refused(text, message):
    assert_refused(sealed(text), message)
    assert_refused(text, "is no checkpoint|bytes were saved")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (b"", "is no checkpoint"),
        (b"\xff" * 8, "is no checkpoint"),
        (b"\x02\0\0\0\0\0\0\0{}", "is no checkpoint|other tensors"),
        (TENSORS.replace(b"F32", b"F99"), "is no checkpoint"),
        (TENSORS.replace(b"train/a", b"train\\\\a"), "is no checkpoint"),
        (TENSORS.replace(b"train/a", b"other/a"), "is no checkpoint"),
        (TENSORS.replace(b"[2,3]", b"[3,2]"), OTHER),
        (TENSORS[:-1], "is no checkpoint"),
        (TENSORS + b"\0", "is no checkpoint"),
    ],
)
def test_tensors_that_cannot_be_are_refused_though_they_are_sealed(tensors, message):
    assert_refused(sealed(MANIFEST, tensors), message)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format", 1, "it has format 1, and this adaps reads 2"),
        ("format", 3, "it has format 3, and this adaps reads 2"),
        ("format", True, "Expected `int`, got `bool`"),
        ("format", 2.0, "Expected `int`, got `float`"),
        ("size", -5, "`int` >= 0"),
        ("size", 31, "31 bytes were saved"),
        ("size", 2**40, "bytes were saved"),
        ("size", 2**64, "Expected `int`"),
        ("sha256", "AB" * 32, "its hash is another"),
        ("sha256", None, "Expected `str`"),
        ("more", "x" * 2_000, "is no checkpoint"),
    ],
)
def test_a_seal_that_does_not_fit_is_refused(name, value, message):
    seal, body = GOOD.split(b"\n", 1)
    assert_refused(json.dumps({**json.loads(seal), name: value}).encode() + b"\n" + body, message)


def test_metadata_that_was_changed_is_noticed():
    assert b'"updates": 3' in GOOD
    with pytest.raises(DamagedError, match=re.escape("its hash is another")):
        read(GOOD.replace(b'"updates": 3', b'"updates": 2'))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_metadata_that_json_does_not_have(value):
    with pytest.raises(DamagedError, match="JSON"):
        to_bytes("seed-3", 7, {}, {"value": value})
