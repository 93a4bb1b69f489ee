"""Types of fields, and checks that several files need. Stage: files."""

import math
import sys
from collections.abc import Sized
from typing import Annotated

import numpy as np
from jaxtyping import Float
from msgspec import Meta, Struct

from adaps.types import MOST_SEEDS, SCHEMA

Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""As arrays and figures can hold it."""
NumSeeds = Annotated[int, Meta(ge=1, le=MOST_SEEDS)]
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
ROUNDING = 1e-6
"""Shares may be this far below 0 or above 1."""
Share = Annotated[float, Meta(ge=-ROUNDING, le=1 + ROUNDING)]
Codes = Float[np.ndarray, "_agent _code"]
"""A latent code for each agent."""


class File(Struct, kw_only=True):
    """A JSON file that says which schema it has."""

    schema: Annotated[int, Meta(ge=SCHEMA, le=SCHEMA)]


def known(value: float | None) -> float | None:
    """None also where a number is not finite: a page has nothing to say about it."""
    return None if value is None or not math.isfinite(value) else float(value)


def labels(types: list[int | str] | None) -> list[int] | list[str] | None:
    """Whole numbers, or else texts: one or the other, so that they can be sorted."""
    if types is None:
        return None
    numbers = [label for label in types if isinstance(label, int)]
    return numbers if len(numbers) == len(types) else [str(label) for label in types]


def check_length(name: str, values: Sized | None, count: int) -> None:
    """Raises ValueError where a list that is there has another length."""
    if values is not None and len(values) != count:
        raise ValueError(f"{name} must be a list of {count}")


def check_codes(codes: np.ndarray, num_agents: int) -> None:
    """Raises ValueError where there is not one row of finite numbers per agent."""
    if len(codes) != num_agents or not np.isfinite(codes).all():
        raise ValueError("latent codes must be one row of finite numbers per agent")


def check_shape(name: str, rows: np.ndarray, height: int, width: int) -> None:
    """Raises ValueError where a table has another shape."""
    if rows.shape != (height, width):
        raise ValueError(f"{name} must have {height} rows of {width} numbers")
