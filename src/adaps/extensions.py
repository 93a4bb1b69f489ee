"""Third parties' classes by dotted name, and the ranges of options. Used by every stage.

An option's range stands on its field: ``share: Annotated[float, Range(0, 1)] = 0.5``.

A name that the user typed is imported as it is. One that stands in a file may be a stranger's:
whoever reads it calls :func:`check_code` first, which refuses what :func:`code_allowed` does not
allow. Threads inherit no allowance.
"""

import dataclasses
import functools
import importlib.util
import math
import os
import pkgutil
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from adaps.errors import (
    CodeError,
    HelpShown,
    RunError,
    Stopped,
    UserError,
    is_interrupt,
    shown,
    unknown,
)

EXTRAS = {
    "gymnasium": "pettingzoo",
    "pettingzoo": "pettingzoo",
    "jaxmarl": "jaxmarl",
    "jumanji": "jumanji",
}
"""Packages that somebody's code may need, and the extra that brings each."""

MESSAGE_LENGTH = 500
"""Characters of an exception's message that are shown."""


DOTTED = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"


def is_dotted(name: str) -> bool:
    """Whether a name is that of something in a module.

    >>> is_dotted("mypackage.mine:Mine"), is_dotted("adaps"), is_dotted("bps:5-5-5")
    (True, False, False)
    """
    return re.fullmatch(DOTTED, name) is not None


def dotted_names(texts: Iterable[str]) -> list[str]:
    """Every such name in some texts.

    >>> dotted_names(["sharing=mine:Mine", "adaps sharing.keep=0.7"])
    ['mine:Mine']
    """
    return [name for text in texts for name in re.findall(DOTTED, text)]


def dotted_name(thing: Any) -> str:
    """The name that :func:`load` finds a class or function by, if it is one of a module."""
    return f"{thing.__module__}:{thing.__qualname__}"


class Source(NamedTuple):
    """A file that names code, and that a stranger may have written."""

    file: Path
    folder: Path | None
    """The run or study that it belongs to, from which nothing is ever imported; None: of none."""


class Allowance(NamedTuple):
    """Code that files may name."""

    everything: bool
    names: frozenset[str]


SAFE_PATH, MARK = "PYTHONSAFEPATH", "adaps"
"""Python's variable, and the value that says who set it."""
_starting = threading.Lock()

NOTHING = Allowance(everything=False, names=frozenset())

_allowance = ContextVar("allowance", default=NOTHING)
_closed: set[Path] = set()
"""Folders that were read: the working directory is no place for modules if it lies in one."""


@contextmanager
def code_allowed(everything: bool = False, names: Iterable[str | None] = ()) -> Iterator[None]:
    """The user's word: meanwhile, files may name any code, or that of certain names."""
    before = _allowance.get()
    more = before.names | {name for name in names if name is not None}
    token = _allowance.set(Allowance(before.everything or everything, more))
    try:
        yield
    finally:
        _allowance.reset(token)


def close_folder(source: Source) -> None:
    """Never look for modules in a folder that is being read, though it be the working directory."""
    if source.folder is not None:
        _closed.add(source.folder.resolve())


def check_code(kind: str, name: str, module: str, source: Source) -> None:
    """Refuse code that a file names, unless the user's word allows it; nothing is imported here.

    Args:
        kind: what the name is of.
        name: as the file has it.
        module: what would be imported for it.
        source: the file.

    Raises:
        CodeError: the code is not allowed, or lies in the folder that the file belongs to.
    """
    check_not_standard(kind, name, module)
    everything, names = _allowance.get()
    if not (everything or name in names):
        *_, where = ("a module that is not there", *_places(module))
        raise CodeError(
            f"{source.file} asks for code: {kind} '{name}' would import {module} ({where}); if "
            "you trust it, say --allow-code, or allow_code=True in Python"
        )
    check_outside(kind, name, module, source)


def check_outside(kind: str, name: str, module: str, source: Source) -> None:
    """Refuse a module out of the folder that is being read, whoever named it.

    Raises:
        CodeError: it lies there.
    """
    if source.folder is None:
        return
    for place in _places(module):
        if place.resolve().is_relative_to(source.folder.resolve()):
            raise CodeError(
                f"{source.file}: {kind} '{name}' lies in the folder itself ({place}), from which "
                "no code is imported: move it elsewhere"
            )


def check_not_standard(kind: str, name: str, module: str) -> None:
    """Refuse a module of Python's own: none has what is looked for, and importing some acts.

    Raises:
        CodeError: it is one.
    """
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise CodeError(f"{kind} '{name}' is of Python's standard library, which has none")


def is_imported(name: str) -> bool:
    """Whether what a dotted name stands for is there already, so that finding it runs no code."""
    module, _, thing = name.partition(":")
    return thing in getattr(sys.modules.get(module), "__dict__", {})


def _places(module: str) -> list[Path]:
    """Files and folders of a module and of the packages around it, the module's own last."""
    found: list[Path] = []
    around: list[str] | None = None
    if re.fullmatch(r"\w+(\.\w+)*", module) is None:
        return found
    for end in range(1, module.count(".") + 2):
        spec = _spec(".".join(module.split(".")[:end]), around)
        if spec is None:
            return found
        around = list(spec.submodule_search_locations or ())
        found += map(Path, [*around, *([spec.origin] if spec.origin and spec.has_location else [])])
    return found


def _spec(module: str, around: list[str] | None) -> ModuleSpec | None:
    """Where a module comes from, found without importing it; ``around`` is its package's path."""
    if module in sys.modules:
        return getattr(sys.modules[module], "__spec__", None)
    if around is None:
        return importlib.util.find_spec(module) or _first_spec(module, [os.getcwd()])
    return _first_spec(module, around)


def _first_spec(module: str, folders: list[str]) -> ModuleSpec | None:
    finders = filter(None, map(pkgutil.get_importer, folders))
    found = (finder.find_spec(module, None) for finder in finders)
    return next((spec for spec in found if spec is not None), None)


def look_in_working_directory() -> None:
    """Let modules in the working directory be imported, where nothing else has their name."""
    here = os.getcwd()
    if here not in sys.path and not any(Path(here).is_relative_to(folder) for folder in _closed):
        sys.path.append(here)


@contextmanager
def starting_processes() -> Iterator[None]:
    """Let Python processes that are started meanwhile take none of their modules from here.

    Python would look for what it starts them with in the working directory first, which may be a
    folder that a stranger sent. The new process calls :func:`process_started`.
    """
    with _starting:
        os.environ.setdefault(SAFE_PATH, MARK)
        try:
            yield
        finally:
            process_started()


def process_started() -> None:
    """Leave Python's usual rule to the programs that somebody's environment starts."""
    if os.environ.get(SAFE_PATH) == MARK:
        del os.environ[SAFE_PATH]


@contextmanager
def theirs(failure: str, kind: type[UserError] | type[RunError] = UserError) -> Iterator[None]:
    """Whatever somebody else's code raises becomes one line that begins with ``failure``.

    Args:
        failure: what could not be done; empty where that is said elsewhere.
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
        text = f"{failure}: {told(error)}" if failure else told(error)
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
        UserError: there is no such module or thing, it is Python's own, or the module fails while
            it is imported.
    """
    check_not_standard(kind, name, name.partition(":")[0])
    look_in_working_directory()
    with theirs(f"{kind} '{name}' cannot be imported"):
        return pkgutil.resolve_name(name)


def load_options(kind: str, name: str, needed: tuple[str, ...]) -> Any:
    """A third party's dataclass of options, all at their defaults.

    Nothing but a dataclass that has what is ``needed`` is ever called.

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
