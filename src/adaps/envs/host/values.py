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
        TypeError, ValueError, OverflowError: it is something else.
    """
    return float(value if isinstance(value, Real) else _only_entry(value, "biuf"))


def as_truth(value: Any) -> bool:
    """True or false, also as NumPy says it.

    >>> as_truth(np.True_), as_truth(0)
    (True, False)

    Raises:
        ValueError: it is something else, such as text.
    """
    return bool(value if isinstance(value, bool | np.bool_) else _only_entry(value, "biu"))


def _only_entry(value: Any, kinds: str) -> Any:
    """What an array of one entry holds, if its type is of these kinds."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in kinds:
        raise ValueError(value)
    return array.item()


READ = {
    "reward": (as_number, "no number"),
    "termination": (as_truth, "neither true nor false"),
    "truncation": (as_truth, "neither true nor false"),
}
"""How one agent's values are read, and what others are told to be."""
