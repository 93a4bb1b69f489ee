"""Third parties' environments, methods and algorithms, by dotted name. Used by every stage."""

import dataclasses
import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from adaps.errors import UserError

EXTRAS = {
    "gymnasium": "pettingzoo",
    "pettingzoo": "pettingzoo",
    "jaxmarl": "jaxmarl",
    "jumanji": "jumanji",
}
"""Packages that somebody's code may need, and the extra that brings each."""


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
def theirs(failure: str) -> Iterator[None]:
    """Whatever somebody else's code raises becomes one line that begins with ``failure``.

    >>> with theirs("it cannot be made"):
    ...     1 / 0
    Traceback (most recent call last):
    adaps.errors.UserError: it cannot be made: ZeroDivisionError: division by zero
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{failure}: {told(error)}") from error


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """A package that cannot be found becomes one line that names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"package {error.name} is missing: pip install 'adaps[{extra}]'") from error


def told(error: BaseException) -> str:
    """An exception in one line, and the extra that is missing, if one is."""
    text = " ".join(str(error).split())
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    extra = EXTRAS.get(missing.partition(".")[0])
    hint = f" (pip install 'adaps[{extra}]')" if extra else ""
    return f"{type(error).__name__}{': ' if text else ''}{text}{hint}"


def load(kind: str, name: str) -> Any:
    """What ``package.module:Thing`` names; modules in the working directory are found too.

    Raises:
        UserError: there is no such module or thing, or the module fails while it is imported.
    """
    module_name, attribute = name.split(":")
    look_in_working_directory()
    with theirs(f"{kind} '{name}' cannot be imported"):
        module = importlib.import_module(module_name)
    if not hasattr(module, attribute):
        raise UserError(f"{kind} '{name}': module {module_name} has no {attribute}")
    return getattr(module, attribute)


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
    try:
        return found()
    except TypeError as error:
        raise UserError(f"{kind} '{name}': every option needs a default: {error}") from None
