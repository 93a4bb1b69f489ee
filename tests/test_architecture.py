"""Imports go one way, and every package that is imported is declared."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "adaps"
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))

# What a module or folder may import from this package, besides itself.
ALLOWED = {
    "errors": set(),
    "extensions": {"errors"},
    "types": set(),
    "plain_files": set(),
    "envs": {"types", "errors", "extensions"},
    "rollout": {"types"},
    "by_name": {"types", "errors", "envs"},
    "normalise": {"types"},
    "identity": {"types", "errors", "plain_files", "rollout"},
    "learned_masks": set(),
    "networks": {"types", "learned_masks"},
    "sharing": {"types", "errors", "networks"},
    "algos": {"types", "networks"},
    "policy_arrays": {"types", "networks"},
    "run_folder": {"types", "errors", "plain_files", "by_name", "networks", "policy_arrays"},
    "checkpoints": {"types", "errors", "plain_files", "run_folder"},
    "statistics": {"errors"},
    "diversity": {"types", "networks"},
    "policy": {"types", "errors", "by_name", "networks", "rollout", "run_folder"},
    "evaluate": {"types", "placement", "policy", "rollout", "run_folder"},
    "host": {"types", "config", "diversity", "evaluate", "identity", "networks", "placement"}
    | {"policy", "rollout", "stages"},
    "saved_options": set(),
    "limits": {"types", "errors", "saved_options"},
    "config": {"types", "errors", "extensions", "limits", "plain_files", "saved_options"}
    | {"identity", "sharing", "algos"},
    "advice": {"types", "identity", "networks"},
    "findings": {"types", "identity", "advice", "run_folder"},
    "identify": {"types", "errors", "envs", "identity", "findings", "config", "host"}
    | {"limits", "progress", "rollout"},
    "sinks": {"errors"},
    "parsing": {"errors", "config", "identity", "run_folder", "sharing", "sinks", "algos"},
    "study": {"types", "errors", "config", "envs", "parsing", "stages", "running", "evaluate"}
    | {"host", "limits", "plain_files", "progress", "provenance", "result", "resume", "run_folder"}
    | {"sharing", "algos", "checkpoints"},
    "journal": {"types", "errors", "checkpoints", "host", "run_folder"},
    "facts": {"checkpoints", "journal"},
    "fitting": {"types", "errors", "checkpoints", "config", "host", "identity", "journal"}
    | {"placement", "stages"},
    "resume": {"types", "errors", "checkpoints", "config", "facts", "placement", "run_folder"},
    "placement": set(),
    "provenance": {"placement"},
    "progress": set(),
    "report": {"types", "errors", "plain_files", "run_folder", "statistics"},
    "render": {"types", "errors", "envs", "networks", "rollout", "run_folder", "policy"}
    | {"evaluate", "progress", "report"},
}


def imports(name):
    tree = ast.parse((SOURCE / name).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if node.module == "adaps":
                yield from (f"adaps.{alias.name}" for alias in node.names)


def at_once(name):
    """What is imported as soon as a module is, rather than in a function or for type checkers."""
    for node in ast.parse((SOURCE / name).read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def is_lazy(name):
    """Whether a module may import an extra's packages, since it is itself imported when needed."""
    return name.startswith(("envs/as_", "envs/host/")) or name == "study/on_ray.py"


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name):
    stage = name.split("/", maxsplit=1)[0].removesuffix(".py")
    if stage not in ALLOWED:
        return
    own = {m.split(".")[1] for m in imports(name) if m.startswith("adaps.")}
    assert own - {stage} <= ALLOWED[stage]


@pytest.mark.parametrize("name", MODULES)
def test_the_first_line_says_what_a_module_is(name):
    assert ast.get_docstring(ast.parse((SOURCE / name).read_text()))


def packages(requirements):
    return {re.split(r"[<>=\[ ]", r)[0].replace("-", "_") for r in requirements}


def test_every_import_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = packages(project["dependencies"])
    extras = packages(r for rs in project["optional-dependencies"].values() for r in rs) - declared
    names = {"sklearn": "scikit_learn", "PIL": "pillow"}
    used = {m.split(".")[0] for name in MODULES for m in imports(name)}
    foreign = {names.get(m, m) for m in used - set(sys.stdlib_module_names) - {"adaps"}}
    assert foreign <= declared | extras
    by_name = {
        "imageio_ffmpeg",
        "tensorboardX",
        "wandb",
    }  # imported where it is needed, by importlib
    assert declared | extras <= foreign | by_name | {"scipy"}
    on_start = {m.split(".")[0] for name in MODULES if not is_lazy(name) for m in at_once(name)}
    assert not on_start & extras


@pytest.mark.parametrize("name", MODULES)
def test_lazy_modules_are_imported_in_functions_only(name):
    assert not [m for m in at_once(name) if m.startswith(("adaps.envs.as_", "adaps.study.on_"))]


def test_no_function_outgrows_a_screen():
    for name in MODULES:
        for node in ast.walk(ast.parse((SOURCE / name).read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{name}: {node.name}"
