"""Result files' parts, checked one by one as they are read. Stage: report."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from adaps.errors import UserError
from adaps.files.run_folder import read_json
from adaps.types import SCHEMA

T = TypeVar("T")


def read(folder: Path, name: str, build: Callable[[Any], T]) -> T:
    """One JSON file as ``build`` understands it.

    Raises:
        UserError: the file is missing or damaged; one line that names it.
    """
    return checked(folder / name, lambda: build(_of_this_schema(read_json(folder, name))))


def checked(path: Path, build: Callable[[], T]) -> T:
    """Turn whatever goes wrong with a file's content into one line that names the file."""
    try:
        return build()
    except UserError:
        raise
    except KeyError as error:
        reason = f"it lacks {error}"
    except RecursionError:
        reason = "it is nested too deeply"
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        reason = " ".join(str(error).split())
    raise UserError(f"{path} is damaged: {reason}")


def as_whole(value: Any) -> int:
    """As arrays and figures can hold it."""
    if not isinstance(value, int):
        raise ValueError(f"{value!r} is not a whole number")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{str(value)[:20]} is out of range")
    return value


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def as_number(value: Any) -> float | None:
    """None also where it is not finite: a page has nothing to say about such a number."""
    return None if value is None or not math.isfinite(value) else float(value)


def as_codes(rows: Any, num_agents: int) -> Float[np.ndarray, "agent code"]:
    """Latent codes, one row of finite numbers per agent."""
    latent = np.asarray(rows, float)
    if latent.ndim != 2 or len(latent) != num_agents or not np.isfinite(latent).all():
        raise ValueError("latent codes must be one row of finite numbers per agent")
    return latent


def as_labels(types: list[Any]) -> list[int] | list[str]:
    """Whole numbers, or else texts: one or the other, so that they can be sorted."""
    if all(isinstance(label, int) for label in types):
        return types
    return [str(label) for label in types]


def _of_this_schema(data: Any) -> Any:
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']!r}, where this version reads {SCHEMA}")
    return data
