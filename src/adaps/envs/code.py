"""Which code an environment's name stands for, when a file names it. Stage: environment."""

import importlib.util
import os
import pkgutil
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adaps.envs.names import parse
from adaps.extensions import Source, check_code, check_outside

FAMILIES = (
    ("mpe2", ""),
    ("pettingzoo", "butterfly"),
    ("pettingzoo", "classic"),
    ("pettingzoo", "sisl"),
    ("pettingzoo", "atari"),
)
"""Packages, and packages inside them, whose modules of environments are known by name."""


def check_env_code(name: str, source: Source) -> None:
    """Refuse a file's environment whose code the user does not allow; nothing is imported.

    Raises:
        UserError: the code is not allowed, or lies in the file's own folder.
    """
    own = without_options(name)
    if (module := code_of(name)) is not None:
        check_code("environment", own, module, source)
    elif (named := parse(name)) is not None:
        for package in (named.prefix, known_modules().get(named.name, named.prefix)):
            check_outside("environment", own, package, source)


def without_options(name: str) -> str:
    """What is typed to allow an environment, whatever its options.

    >>> without_options("mine:make_env,length=5")
    'mine:make_env'
    """
    return re.split("[,?]", name, maxsplit=1)[0]


def code_of(name: str) -> str | None:
    """The module that an environment is made by; None for those that come with a known project.

    These are the built-in ones, and those of PettingZoo, MPE2, JaxMARL and Jumanji, but for options
    that may be paths: a project may read a file in a way that runs it, as JaxMARL unpickles maps.

    >>> code_of("bps-1"), code_of("mine:make_env"), code_of("pettingzoo:mine")
    (None, 'mine', 'mine')
    >>> code_of("jaxmarl:jaxnav,map_params={'dir_path': 'maps'}")
    'jaxmarl'
    """
    named = parse(name)
    if named is None:
        return None
    if not named.prefix:
        return named.name.partition(":")[0]
    if any(map(_may_be_path, named.options.values())):
        return named.prefix
    if named.prefix != "pettingzoo" or named.name in known_modules():
        return None
    # Without PettingZoo there is nothing to make it with, which is told in its own way.
    return named.name if importlib.util.find_spec("pettingzoo") else None


def _may_be_path(value: Any) -> bool:
    """Whether an option could name a file: any text but a plain word, which is no file's name."""
    if isinstance(value, str):
        return re.fullmatch(r"[\w-]*", value) is None or os.path.exists(value)
    inner = value.values() if isinstance(value, dict) else value
    if isinstance(inner, bytes) or not isinstance(inner, Iterable):
        return isinstance(inner, bytes)
    return any(isinstance(each, str) or _may_be_path(each) for each in inner)


def known_modules() -> dict[str, str]:
    """Modules of environments that come with PettingZoo and MPE2, by the names they may be given.

    Nothing is imported, and a package in the working directory is none of theirs.
    """
    found = {}
    for package, inner in FAMILIES:
        spec = importlib.util.find_spec(package)
        folders = map(Path, spec.submodule_search_locations or ()) if spec else ()
        installed = [folder for folder in folders if folder.resolve().parent != Path.cwd()]
        for module in pkgutil.iter_modules([str(folder / inner) for folder in installed]):
            if re.search(r"_v\d+$", module.name):
                full = ".".join(filter(None, (package, inner, module.name)))
                found[f"{inner or package}.{module.name}"] = full
    return found | {full: full for full in found.values()}
