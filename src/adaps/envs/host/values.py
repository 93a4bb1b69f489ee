"""Single values that an environment returns, and how it returns them, checked. Stage: env."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

RETURNED = {
    "reset": ("observations", "infos"),
    "step": ("observations", "rewards", "terminations", "truncations", "infos"),
}
"""What these return, each by agent."""


def check_returned(what: str, answer: Any) -> None:
    """See that ``reset`` or ``step`` returned what PettingZoo's ``ParallelEnv`` returns.

    Raises:
        ValueError: something else, and what it should be.
    """
    names = RETURNED[what]
    if not (isinstance(answer, tuple) and len(answer) == len(names)):
        raise ValueError(f"{what} must return {len(names)} values, as ParallelEnv's does")
    for name, part in zip(names, answer, strict=True):
        if not isinstance(part, dict | Mapping):
            kind = "None" if part is None else f"a {type(part).__name__}"
            raise ValueError(f"{what} must return {name} as a dict by agent, not as {kind}")


def as_number(value: Any) -> float:
    """One number, also where it comes as an array of one.

    >>> as_number(2), as_number(np.array([0.5]))
    (2.0, 0.5)

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, Real):
        return float(value)
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise ValueError(value)
    return float(array.item())


def as_truth(value: Any) -> bool:
    """True or false, also as NumPy says it.

    >>> as_truth(np.True_), as_truth(0)
    (True, False)

    Raises:
        ValueError: it is something else, such as text.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biu":
        raise ValueError(value)
    return bool(array.item())
