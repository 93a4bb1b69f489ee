"""What a checkpoint's manifest says, and every check of it. Stage: train.

A manifest may have been damaged, or written by someone who means harm. It is parsed as if it were:
nothing is read from it that has not been checked, and no size in it is believed before all agree.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import jax.numpy as jnp

from adaps.files.checkpoint.failures import DamagedError, shown

FORMAT = 1
"""Version of a checkpoint's layout."""

MANIFEST = "manifest.json"
SUFFIX = ".safetensors"
MAX_MANIFEST = 64 * 2**20
"""Bytes; a manifest of ten thousand tensors is a fiftieth of it."""
MAX_HEADER = 8 + 100_000_000
"""Bytes: what safetensors allows before the first tensor."""

DTYPES = {
    "bool": "BOOL",
    **{f"{kind}{bits}": f"{kind[0].upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16)},
    **{
        f"{kind}{bits}": f"{kind[0].upper()}{bits}" for kind in ("int", "uint") for bits in (32, 64)
    },
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
    "bfloat16": "BF16",
}
"""Names of safetensors, by those of numpy."""


@dataclass(frozen=True)
class Tensor:
    """What is known of a tensor without reading it."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * jnp.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class File:
    """What a file must be."""

    size: int
    """Bytes."""
    sha256: str
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint must be, and what the run said of it."""

    series: str
    number: int
    files: dict[str, File]
    facts: dict[str, Any]


def to_bytes(manifest: Manifest) -> bytes:
    """A manifest as JSON, sealed with a hash of itself.

    Raises:
        TypeError, ValueError: facts that JSON does not have, such as an array or NaN.
    """
    # There and back, since what is hashed must be what a reader finds: text for keys, no tuples.
    data = json.loads(json.dumps({"format": FORMAT, **asdict(manifest)}, allow_nan=False))
    return json.dumps({**data, "sha256": seal(data)}, indent=1).encode()


def from_bytes(text: bytes) -> Manifest:
    """The manifest that :func:`to_bytes` wrote.

    Raises:
        DamagedError: with the first thing that is wrong.
    """
    data = _parsed(text)
    if not isinstance(data, dict):
        raise DamagedError(f"{MANIFEST} is not an object")
    version = data.get("format")
    if type(version) is not int or version != FORMAT:
        raise DamagedError(f"{MANIFEST} has format {shown(version)}; this adaps reads {FORMAT}")
    _check_fields(data, ("format", "series", "number", "files", "facts", "sha256"), MANIFEST)
    if data.pop("sha256") != seal(data):
        raise DamagedError(f"{MANIFEST} was changed: its hash is another")
    if not isinstance(data["facts"], dict):
        raise DamagedError("facts are not an object")
    if not isinstance(data["series"], str):
        raise DamagedError("series is not text")
    number = _whole(data["number"], "number")
    return Manifest(data["series"], number, _files(data["files"]), data["facts"])


def seal(data: dict[str, Any]) -> str:
    """A hash of JSON data, whatever its order and white space."""
    plain = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(plain.encode()).hexdigest()


def _parsed(text: bytes) -> Any:
    """Plain JSON: no key twice, no NaN, no depth that would exhaust the stack later on."""
    try:
        data = json.loads(
            text.decode(),
            object_pairs_hook=_each_once,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{MANIFEST} is not plain JSON: {error}") from None
    _check_depth(data)
    return data


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        twice = next(key for key in data if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"{shown(twice)} is there twice")
    return data


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is not a finite number")
    return number


def _check_depth(data: Any, most: int = 64) -> None:
    level = [data]
    for _ in range(most):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return
    raise DamagedError(f"{MANIFEST} is nested more than {most} deep")


def _within(data: Any) -> Iterable[Any]:
    if isinstance(data, dict):
        return data.values()
    return data if isinstance(data, list) else ()


def _files(data: Any) -> dict[str, File]:
    if not isinstance(data, dict) or not data:
        raise DamagedError("files are not an object with at least one file")
    for name in data:
        check_file_name(name)
    return {name: _file(name, said) for name, said in data.items()}


def check_file_name(name: str) -> None:
    """Raises ``DamagedError`` for all but plain names in the folder itself."""
    if not re.fullmatch(rf"[a-z][a-z0-9_-]{{0,63}}{re.escape(SUFFIX)}", name):
        raise DamagedError(f"a checkpoint has no file of the name {shown(name)}")


def _file(name: str, data: Any) -> File:
    _check_fields(data, ("size", "sha256", "tensors"), name)
    size, sha256, tensors = data["size"], data["sha256"], data["tensors"]
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise DamagedError(f"{name} has no SHA-256: {shown(sha256)}")
    if not isinstance(tensors, dict):
        raise DamagedError(f"the tensors of {name} are not an object")
    file = File(
        size=_whole(size, f"the size of {name}"),
        sha256=sha256,
        tensors={_tensor_name(key): _tensor(key, said) for key, said in tensors.items()},
    )
    header = file.size - sum(tensor.num_bytes for tensor in file.tensors.values())
    if not 8 < header <= MAX_HEADER:
        raise DamagedError(f"{name} cannot be of {file.size} bytes with such tensors")
    return file


def _tensor_name(name: str) -> str:
    # safetensors keeps its own data under that one name.
    if not name or len(name) > 1_000 or not name.isprintable() or name == "__metadata__":
        raise DamagedError(f"a tensor cannot be called {shown(name)}")
    return name


def _tensor(name: str, data: Any) -> Tensor:
    _check_fields(data, ("dtype", "shape"), shown(name))
    dtype, shape = data["dtype"], data["shape"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise DamagedError(f"{shown(name)} has the unknown dtype {shown(dtype)}")
    if not isinstance(shape, list) or len(shape) > 32:
        raise DamagedError(f"{shown(name)} has no shape: {shown(shape)}")
    return Tensor(dtype, tuple(_whole(n, f"an axis of {shown(name)}") for n in shape))


def _whole(value: Any, what: str) -> int:
    """A number of things; ``True`` is none, though Python takes it for 1."""
    if type(value) is not int or not 0 <= value < 2**48:
        raise DamagedError(f"{what} is not a number of things: {shown(value)}")
    return value


def _check_fields(data: Any, names: tuple[str, ...], what: str) -> None:
    if not isinstance(data, dict):
        raise DamagedError(f"{what} is not an object")
    if set(data) != set(names):
        raise DamagedError(f"{what} has the fields {shown(sorted(data))}, not {sorted(names)}")
