"""Which code an environment's name stands for, when a file names it. Stage: environment."""

import importlib.util
import pkgutil
import re
from pathlib import Path

from adaps.envs.names import parse
from adaps.extensions import Source, check_code, is_dotted

FAMILIES = (
    ("mpe2", ""),
    ("pettingzoo", "butterfly"),
    ("pettingzoo", "classic"),
    ("pettingzoo", "atari"),
)
"""Packages, and packages inside them, whose modules of environments are known by name."""


def check_env_code(name: str, source: Source) -> None:
    """Refuse a file's environment whose code the user does not allow; nothing is imported.

    Built-in environments are allowed, and those that come with PettingZoo, MPE2, JaxMARL and
    Jumanji.

    Raises:
        UserError: the code is not allowed, or lies in the file's own folder.
    """
    foreign = parse(name)
    if foreign is None and is_dotted(name):
        check_code("environment", name, name.partition(":")[0], source)
    if foreign is None or foreign.prefix != "pettingzoo" or foreign.name in known_modules():
        return
    if importlib.util.find_spec("pettingzoo") is not None:  # else there is nothing to make it with
        check_code("environment", name, foreign.name, source)


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
