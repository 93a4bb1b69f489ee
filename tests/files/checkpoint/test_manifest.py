"""What a manifest may say."""

import json
import re

import pytest

from adaps.files.checkpoint.failures import DamagedError
from adaps.files.checkpoint.manifest import File, Manifest, Tensor, from_bytes, seal, to_bytes

GOOD = Manifest(
    series="seed-3",
    number=7,
    files={"train.safetensors": File(150, "ab" * 32, {"a": Tensor("float32", (2, 3))})},
    facts={"updates": 3, "config": {"algo": {"entropy": 0.01}}, "on": [True, None]},
)


def edited(path, value):
    """The good manifest with one value put in, sealed."""
    data = json.loads(to_bytes(GOOD))
    *before, last = path
    inner = data
    for key in before:
        inner = inner[key]
    inner[last] = value
    data.pop("sha256")
    return json.dumps({**data, "sha256": seal(data)}).encode()


def test_there_and_back():
    assert from_bytes(to_bytes(GOOD)) == GOOD


def test_keys_that_are_numbers_become_text():
    manifest = Manifest("seed-3", 7, GOOD.files, {"scores": {10: 0.5, 2: (0.25,)}})
    assert from_bytes(to_bytes(manifest)).facts == {"scores": {"10": 0.5, "2": [0.25]}}


FILE = ("files", "train.safetensors")
TENSOR = (*FILE, "tensors", "a")
HUGE = {"dtype": "float32", "shape": [2**47, 2**47, 2**47]}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), 2, "has format 2; this adaps reads 1"),
        (("format",), True, "has format True"),
        (("format",), 1.0, r"has format 1\.0"),
        (("extra",), 1, "has the fields"),
        (("number",), -1, "number is not a number of things: -1"),
        (("number",), True, "number is not"),
        (("number",), 7.0, "number is not"),
        (("number",), 10**400, "number is not"),
        (("series",), 3, "series is not text"),
        (("facts",), [], "facts are not an object"),
        (("files",), {}, "at least one file"),
        (("files",), None, "files are not an object"),
        (("files", "../train.safetensors"), {}, "no file of the name"),
        (("files", "/etc/passwd.safetensors"), {}, "no file of the name"),
        (("files", "a/b.safetensors"), {}, "no file of the name"),
        (("files", "manifest.json"), {}, "no file of the name"),
        (("files", "train.safetensors\n"), {}, "no file of the name"),
        (FILE, 3, "train.safetensors is not an object"),
        ((*FILE, "mode"), 3, "has the fields"),
        ((*FILE, "size"), -5, "the size of train.safetensors"),
        ((*FILE, "size"), True, "the size of train.safetensors"),
        ((*FILE, "size"), 31, "cannot be of 31 bytes"),
        ((*FILE, "size"), 2**40, "cannot be of"),
        ((*FILE, "sha256"), "AB" * 32, "no SHA-256"),
        ((*FILE, "sha256"), None, "no SHA-256"),
        ((*FILE, "tensors"), [], "are not an object"),
        ((*FILE, "tensors", ""), {}, "cannot be called ''"),
        ((*FILE, "tensors", "__metadata__"), {}, "cannot be called"),
        ((*FILE, "tensors", "a\x1b[2J"), {}, r"cannot be called 'a\\x1b"),
        ((*FILE, "tensors", "a" * 10_000), {}, "cannot be called"),
        ((*FILE, "tensors", "b"), HUGE, "cannot be of 150 bytes"),
        (TENSOR, [], "'a' is not an object"),
        ((*TENSOR, "dtype"), "object", "unknown dtype 'object'"),
        ((*TENSOR, "dtype"), ["float32"], "unknown dtype"),
        ((*TENSOR, "shape"), None, "no shape"),
        ((*TENSOR, "shape"), [1] * 33, "no shape"),
        ((*TENSOR, "shape"), [2, -3], "an axis of 'a'"),
        ((*TENSOR, "shape"), [2, True], "an axis of 'a'"),
        ((*TENSOR, "shape"), [2, 3.0], "an axis of 'a'"),
        ((*TENSOR, "shape"), [2, 2**64], "an axis of 'a'"),
    ],
)
def test_what_cannot_be_is_refused_though_it_is_sealed(path, value, message):
    with pytest.raises(DamagedError, match=message) as caught:
        from_bytes(edited(path, value))
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not plain JSON"),
        (b"\xff\xfe", "not plain JSON"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b"[" * 100_000, "not plain JSON"),
        (b"[" * 100 + b"]" * 100, "more than 64 deep"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "more than 64 deep"),
        (b'{"format": NaN}', "'NaN' is not a finite number"),
        (b'{"format": -Infinity}', "not a finite number"),
        (b'{"format": 1e999}', "not a finite number"),
        (b'{"format": ' + b"9" * 10_000 + b"}", "not plain JSON"),
        (b'{"format": 1, "format": 1}', "'format' is there twice"),
    ],
)
def test_hostile_text_is_refused(text, message):
    with pytest.raises(DamagedError, match=message) as caught:
        from_bytes(text)
    assert len(str(caught.value)) < 300


def test_a_fact_that_was_changed_is_noticed():
    text = to_bytes(GOOD)
    assert b'"updates": 3' in text
    with pytest.raises(DamagedError, match=re.escape("its hash is another")):
        from_bytes(text.replace(b'"updates": 3', b'"updates": 2'))


@pytest.mark.parametrize("fact", [float("nan"), float("inf"), object(), {1, 2}])
def test_facts_that_json_does_not_have(fact):
    with pytest.raises((TypeError, ValueError), match="JSON"):
        to_bytes(Manifest("seed-3", 7, GOOD.files, {"fact": fact}))
