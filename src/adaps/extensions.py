"""Third parties' classes by dotted name, and the ranges of options. Used by every stage.

An option's range stands on its field: ``share: Annotated[float, Range(0, 1)] = 0.5``.
"""

import dataclasses
import functools
import math
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_type_hints

from adaps.errors import HelpShown, RunError, Stopped, UserError, is_interrupt, shown, unknown

EXTRAS = {
    "gymnasium": "pettingzoo",
    "pettingzoo": "pettingzoo",
    "jaxmarl": "jaxmarl",
    "jumanji": "jumanji",
}
"""Packages that somebody's code may need, and the extra that brings each."""

MESSAGE_LENGTH = 500
"""Characters of an exception's message that are shown."""


def is_dotted(name: str) -> bool:
    """Whether a name is that of something in a module.

    >>> is_dotted("mypackage.mine:Mine"), is_dotted("adaps"), is_dotted("bps:5-5-5")
    (True, False, False)
    """
    return re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", name) is not None


def dotted_name(thing: Any) -> str:
    """The name that :func:`load` finds a class or function by, if it is one of a module."""
    return f"{thing.__module__}:{thing.__qualname__}"


def look_in_working_directory() -> None:
    """Let modules in the working directory be imported, where nothing else has their name."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


@contextmanager
def theirs(failure: str, kind: type[UserError] | type[RunError] = UserError) -> Iterator[None]:
    """Whatever somebody else's code raises becomes one line that begins with ``failure``.

    Args:
        failure: what could not be done.
        kind: what is raised: a ``RunError``, with the traceback, where a run has begun.

    >>> with theirs("it cannot be made"):
    ...     1 / 0
    Traceback (most recent call last):
    adaps.errors.UserError: it cannot be made: ZeroDivisionError: division by zero
    """
    try:
        yield
    except (UserError, RunError, Stopped, HelpShown):
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        text = f"{failure}: {told(error)}"
        if issubclass(kind, RunError):
            raise kind(text, traceback.format_exc()) from error
        raise kind(text) from error


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """A package that is missing or broken becomes one line; the extra to install is named."""
    with theirs(f"the packages of 'adaps[{extra}]' cannot be imported"):
        try:
            yield
        except ModuleNotFoundError as error:
            text = f"package {error.name} is missing: pip install 'adaps[{extra}]'"
            raise UserError(text) from error


def told(error: BaseException) -> str:
    """An exception in one line, and the extra that is missing, if one is."""
    text = shown(error, _message, MESSAGE_LENGTH)
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    extra = EXTRAS.get(missing.partition(".")[0])
    hint = f" (pip install 'adaps[{extra}]')" if extra else ""
    return f"{type(error).__name__}{': ' if text else ''}{text}{hint}"


def _message(error: BaseException) -> str:
    """An exception's own words; the last of them where they hold a traceback, as JAX's may."""
    text = str(error).strip()
    return text.rpartition("\n")[2] if "Traceback (most recent call last)" in text else text


def load(kind: str, name: str) -> Any:
    """What ``package.module:Thing`` names; modules in the working directory are found too.

    Raises:
        UserError: there is no such module or thing, or the module fails while it is imported.
    """
    look_in_working_directory()
    with theirs(f"{kind} '{name}' cannot be imported"):
        return pkgutil.resolve_name(name)


def load_options(kind: str, name: str, needed: tuple[str, ...]) -> Any:
    """A third party's dataclass of options, all at their defaults.

    Nothing but a dataclass that has what is ``needed`` is ever called, since names also come from
    files that somebody else may have written.

    Raises:
        UserError: it is something else, or an option has no default.
    """
    found = load(kind, name)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise UserError(f"{kind} '{name}' must be a dataclass, whose fields are its options")
    if missing := [attribute for attribute in needed if not hasattr(found, attribute)]:
        raise UserError(f"{kind} '{name}' lacks {', '.join(missing)}")
    with theirs(f"{kind} '{name}' cannot be made (every option needs a default)"):
        return found()


class Allowed:
    """What an option may be: stands in the annotation of its field, where tyro ignores it."""

    def check(self, flag: str, value: Any) -> None:
        """Refuse a value of the option ``flag``.

        Raises:
            UserError: one line that names the option, its value and what is allowed.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Range(Allowed):
    """Numbers that an option, or each entry of a tuple, may be.

    >>> Range(0, 1, ends="(]").check("--keep", 0)
    Traceback (most recent call last):
    adaps.errors.UserError: --keep must be in (0, 1], not 0
    """

    low: int | float
    high: int | float = math.inf
    ends: str = "[]"
    """A square bracket where an end is included, a round one where it is not."""
    says: str = ""
    """How to describe it, if not as an interval."""

    def check(self, flag: str, value: Any) -> None:
        for number in value if isinstance(value, tuple | list) else (value,):
            if number is not None and not self.holds(number):
                shown = f"{number:,}" if isinstance(number, int) else number
                raise UserError(f"{flag} must be {self.wanted(number)}, not {shown}")

    def holds(self, number: int | float) -> bool:
        """Whether a number is finite and lies inside."""
        low = number > self.low or (number == self.low and self.ends[0] == "[")
        high = number < self.high or (number == self.high and self.ends[1] == "]")
        # math.isfinite raises on whole numbers that no float can hold.
        return abs(number) <= sys.float_info.max and low and high

    def wanted(self, number: int | float) -> str:
        """What the option must be, where it is ``number``."""
        del number
        return self.says or f"in {self.ends[0]}{self.low}, {self.high}{self.ends[1]}"


class Amount(Range):
    """How many of something: no fewer than make sense, no more than a machine can take."""

    def wanted(self, number: int | float) -> str:
        return f"at least {self.low}" if number < self.low else f"at most {self.high:,}"


@dataclass(frozen=True)
class Length(Allowed):
    """How many entries a tuple may have."""

    low: int
    high: int
    what: str

    def check(self, flag: str, value: Any) -> None:
        if not self.low <= len(value) <= self.high:
            raise UserError(
                f"{flag} must be {self.low} to {self.high} {self.what}, not {len(value)}"
            )


@dataclass(frozen=True)
class OneOf(Allowed):
    """A name out of several; ``kind`` is what they name."""

    kind: str
    names: tuple[str, ...]

    def check(self, flag: str, value: Any) -> None:
        if value not in self.names:
            raise unknown(self.kind, value, self.names)


POSITIVE = Range(0, ends="()")
WIDTH = Range(1, 2**16)
"""Of a hidden layer."""


def from_to(low: int, high: int) -> Range:
    """Whole numbers, both ends included."""
    return Range(low, high, says=f"from {low} to {high}")


def check_options(options: Any, prefix: str = "") -> None:
    """Refuse options that are not what their fields allow; dataclasses inside are checked as well.

    Args:
        options: a dataclass's instance.
        prefix: stands before an option's name.

    Raises:
        UserError: one line that names the option, its value and what is allowed.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            check_options(value, f"{prefix}{field.name}.")
        else:
            check_option(type(options), field.name, value, prefix)


def check_option(kind: type, name: str, value: Any, prefix: str = "") -> None:
    """Refuse a value that the field ``name`` of the dataclass ``kind`` does not allow.

    Raises:
        UserError: one line that names the option, its value and what is allowed.
    """
    flag = f"--{prefix}{name}".replace("_", "-")
    for allowed in _allowed(kind).get(name, ()):
        allowed.check(flag, value)


@functools.cache
def _allowed(kind: type) -> dict[str, list[Allowed]]:
    """What each field allows; one that says nothing allows what the class above does."""
    found = {}
    for base in reversed(kind.__mro__):
        for name, hint in hints_of(base).items() if dataclasses.is_dataclass(base) else ():
            extras = getattr(hint, "__metadata__", ())
            own = [extra for extra in extras if isinstance(extra, Allowed)]
            found |= {name: own} if own else {}
    return found


def hints_of(kind: type) -> dict[str, Any]:
    """Types of a dataclass's fields; none where a third party's cannot be found out."""
    try:
        return get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):
        return {}
