"""Options as a file has them, checked against their dataclass. Used where a run is configured."""

import dataclasses
import sys
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

GREATEST = sys.float_info.max
"""Of finite numbers; whole ones beyond it cannot even be asked whether they are finite."""


def with_saved(options: T, saved: dict[str, Any], prefix: str = "") -> T:
    """A dataclass of options with what was saved of them.

    Args:
        options: at their defaults, which are right whatever their type.
        saved: as JSON has it, with tuples for lists.
        prefix: stands before an option's name.

    Raises:
        TypeError: there is no such option, or its value is not of its type.
    """
    hints = _hints(type(options))
    for name, value in saved.items():
        default = getattr(options, name, None)
        is_default = type(value) is type(default) and value == default
        if not is_default and not fits(hints.get(name, Any), value):
            raise TypeError(f"{prefix}{name} is {value!r:.40}")
    return dataclasses.replace(options, **saved)  # pyright: ignore[reportArgumentType, reportCallIssue, reportType]


def fits(hint: Any, value: Any) -> bool:
    """Whether a value is of a type; true of types that it knows nothing of.

    >>> fits(int | None, None), fits(int, True), fits(float, 1), fits(float, 10**400)
    (True, False, True, False)
    >>> fits(tuple[int, ...], (64, 64)), fits(tuple[int, ...], (64, "64"))
    (True, False)
    """
    kinds = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return any(fits(kind, value) for kind in kinds)
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        each = kinds[:1] * len(value) if kinds[-1:] == (Ellipsis,) else kinds
        return len(each) == len(value) and all(map(fits, each, value))
    if hint is float:
        return isinstance(value, float) or (fits(int, value) and abs(value) <= GREATEST)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in (str, bool, types.NoneType) else True


def _hints(kind: type) -> dict[str, Any]:
    """Types of a dataclass's fields; none where a third party's cannot be found out."""
    try:
        return get_type_hints(kind)
    except (NameError, TypeError):
        return {}
