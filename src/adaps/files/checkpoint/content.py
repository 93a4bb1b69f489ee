"""What lies in a checkpoint's file: a seal, a manifest and tensors. Stage: train.

The seal is a line with the size and the hash of all that follows, the manifest a line of JSON that
says what the tensors must be, and they are as :mod:`safetensors` has them. Any of it may have been
damaged, or written by someone who means harm: nothing is used before it fits the schema.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, BinaryIO

import jax.numpy as jnp
import msgspec
import numpy as np
from msgspec import Meta
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as serialised

from adaps.errors import UserError
from adaps.files.checkpoint.trees import DTYPES, described, is_kept
from adaps.files.plain_files import parsed

FORMAT = 2
"""Version of a checkpoint's layout."""

Count = Annotated[int, Meta(ge=0, lt=2**48)]
"""A number of things, which never comes to so many."""
Parts = Mapping[str, Mapping[str, np.ndarray]]
"""Arrays by name, for each part by its name."""


class DamagedError(UserError):
    """A checkpoint is not what its seal says, or says what cannot be."""


class Seal(msgspec.Struct):
    """A file's first line."""

    format: int
    size: Count
    """Bytes after this line."""
    sha256: str
    """Of these bytes."""


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """What a checkpoint is, and what the run said of it."""

    series: str
    number: Count
    parts: dict[
        Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}\Z")],
        dict[Annotated[str, Meta(min_length=1, max_length=1_000)], str],
    ]
    """Dtypes and shapes such as ``float32[2,3]`` by name, for each part by its name."""
    metadata: Any
    """Whoever saved it knows its schema."""


def to_bytes(series: str, number: int, parts: Parts, metadata: Any) -> bytes:
    """A checkpoint as the bytes of its file.

    Raises:
        DamagedError: arrays that safetensors does not have; or metadata that JSON does not have,
            such as an array or NaN.
    """
    arrays = {
        f"{part}/{name}": np.asarray(array, order="C")
        for part, own in parts.items()
        for name, array in own.items()
    }
    for name, array in arrays.items():
        if not is_kept(array.dtype):
            raise DamagedError(f"{name} is of {array.dtype}, which checkpoints do not keep")
    said = {part: {n: described(x) for n, x in own.items()} for part, own in parts.items()}
    manifest = Manifest(series, number, said, metadata)
    try:
        line = json.dumps(manifest, default=msgspec.structs.asdict, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DamagedError(f"its metadata is not plain JSON: {error}") from None
    text, tensors = line.encode() + b"\n", serialised(arrays)
    seal = Seal(FORMAT, len(text) + len(tensors), _hash(text, tensors))
    return b"".join((msgspec.json.encode(seal), b"\n", text, tensors))


def from_file(file: BinaryIO, size: int) -> tuple[Manifest, dict[str, dict[str, np.ndarray]]]:
    """What :func:`to_bytes` put into a file of so many bytes; every byte of it is checked.

    Raises:
        DamagedError: with the first thing that is wrong.
    """
    try:
        seal = msgspec.json.decode(file.readline(1_000), type=Seal)
        if seal.format != FORMAT:
            raise DamagedError(f"it has format {seal.format}, and this adaps reads {FORMAT}")
        if size - file.tell() != seal.size:
            raise DamagedError(f"{seal.size} bytes were saved, and {size - file.tell()} are there")
        text = file.readline(seal.size)
        tensors = file.read(seal.size - len(text))
        if _hash(text, tensors) != seal.sha256:
            raise DamagedError("it was changed: its hash is another")
        manifest = msgspec.convert(parsed(text, msgspec.json.decode), Manifest)
        return manifest, _parts(manifest, tensors)
    except DamagedError:
        raise
    except MemoryError:
        raise DamagedError("it does not fit into memory") from None
    except (SafetensorError, msgspec.DecodeError, ValueError, LookupError, RecursionError) as error:
        raise DamagedError(f"it is no checkpoint: {one_line(error)}") from None


def one_line(said: Any) -> str:
    """What somebody else wrote, as a few words that no terminal acts on."""
    return "".join(c if c.isprintable() else " " for c in str(said)[:200])


def _hash(*pieces: bytes) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _parts(manifest: Manifest, tensors: bytes) -> dict[str, dict[str, np.ndarray]]:
    parts: dict[str, dict[str, np.ndarray]] = {part: {} for part in manifest.parts}
    for name, x in deserialize(tensors):
        part, own = name.split("/", 1)
        if not own.isprintable():
            raise DamagedError("the name of a tensor is not printable")
        dtype = jnp.dtype(DTYPES[x["dtype"]])
        parts[part][own] = np.frombuffer(x["data"], dtype).reshape(x["shape"])
    there = {part: {n: described(x) for n, x in own.items()} for part, own in parts.items()}
    if there != manifest.parts:
        raise DamagedError("it holds other tensors than its manifest says")
    return parts
