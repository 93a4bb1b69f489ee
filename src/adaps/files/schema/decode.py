"""JSON data → a struct of the schema, and back. Stage: files."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from jaxtyping import Float

from adaps.errors import UserError
from adaps.files.plain_files import told_json
from adaps.types import SCHEMA

T = TypeVar("T")


def read(path: Path, kind: type[T]) -> T:
    """A JSON file as a struct.

    Raises:
        UserError: the file is missing or damaged; one line that names the file and the field.
    """
    return decoded(path, told_json(path), kind)


def decoded(path: Path, data: Any, kind: type[T], where: str = "") -> T:
    """Data from a file as a struct; ``where`` stands before the reason.

    Raises:
        UserError: the data does not fit; one line that names the file and the field.
    """
    found = data.get("schema", SCHEMA) if isinstance(data, dict) else SCHEMA
    if found != SCHEMA:
        reason = f"schema {found!r:.40}, where this version reads {SCHEMA}"
        raise UserError(f"{path} is damaged: {reason}")
    try:
        return msgspec.convert(data, kind, str_keys=True, dec_hook=_as_array)
    except (msgspec.MsgspecError, ValueError) as error:
        reason = " ".join(str(error).split())
    raise UserError(f"{path} is damaged: {where}{reason}")


def as_json(struct: msgspec.Struct) -> dict[str, Any]:
    """A struct as JSON has it; arrays become lists."""
    return msgspec.to_builtins(struct, str_keys=True, enc_hook=lambda array: array.tolist())


def _as_array(kind: type, rows: Any) -> Float[np.ndarray, "_row _column"]:
    """Numbers in rows; what is null becomes NaN."""
    del kind  # all arrays of the files are alike
    try:
        table = np.asarray(rows, float)
    except OverflowError:
        raise ValueError("a number is out of range") from None
    if table.size and table.ndim != 2:
        raise ValueError("rows of numbers are needed, as many in each")
    return table if table.ndim == 2 else np.zeros((0, 0))
