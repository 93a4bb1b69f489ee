"""Imports go one way, and every package that is imported is declared."""

import ast
import importlib
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "adaps"
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


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


def for_type_checkers(name):
    """Names that a module imports for type checkers alone, and from which modules."""
    for node in ast.parse((SOURCE / name).read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                yield from ((alias.name, statement.module) for alias in statement.names)


@pytest.mark.parametrize("package", ["adaps", "adaps.envs"])
def test_type_checkers_see_what_is_imported_when_it_is_used(package):
    module = importlib.import_module(package)
    names = dict(for_type_checkers(Path(module.__file__).relative_to(SOURCE)))
    assert sorted(names) == sorted(module.__all__)
    for name, source in names.items():
        assert getattr(module, name) is getattr(importlib.import_module(source), name)


def is_lazy(name):
    """Whether a module may import an extra's packages, since it is itself imported when needed."""
    lazy = ("envs/adapters/", "envs/export/", "envs/host/")
    return name.startswith(lazy) or name == "study/on_ray.py"


def test_imports_go_one_way():
    """The layers are in ``pyproject.toml``, and ``make lint`` checks them, too."""
    assert lint_imports(no_cache=True) == 0


def test_every_file_lies_in_a_room():
    assert len([name for name in MODULES if "/" not in name]) <= 5


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
    assert declared | extras <= foreign | by_name | {"scipy", "msgspec"}
    on_start = {m.split(".")[0] for name in MODULES if not is_lazy(name) for m in at_once(name)}
    assert not on_start & extras


@pytest.mark.parametrize("name", MODULES)
def test_lazy_modules_are_imported_in_functions_only(name):
    assert not [m for m in at_once(name) if m.startswith(("adaps.envs.export.", "adaps.study.on_"))]


def prints(name):
    """Where a module prints, or makes what prints."""
    for node in ast.walk(ast.parse((SOURCE / name).read_text())):
        if isinstance(node, ast.Name) and node.id == "print":
            yield f"print in line {node.lineno}"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"):
            yield f"{ast.unparse(node)} in line {node.lineno}"
        called = ast.unparse(node) if isinstance(node, ast.Call) else ""
        if re.match(r"(\w+\.)*(Console\(|TextColumn\((?!.*markup=False))", called):
            yield f"{called} in line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.module == "rich":
            yield f"rich's functions in line {node.lineno}"


@pytest.mark.parametrize("name", [name for name in MODULES if name != "files/terminal.py"])
def test_what_is_printed_goes_through_one_module(name):
    """Which shows other people's text as it is."""
    assert not list(prints(name))


def test_no_function_outgrows_a_screen():
    for name in MODULES:
        for node in ast.walk(ast.parse((SOURCE / name).read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 40, f"{name}: {node.name}"


def test_no_chain_of_imports_is_long():
    graph = grimp.build_graph("adaps", cache_dir=None)

    @cache
    def chain(module):
        imported = graph.find_modules_directly_imported_by(module) - {"adaps"}
        return [module, *max(map(chain, sorted(imported)), key=len, default=[])]

    longest = max((chain(module) for module in graph.modules - {"adaps"}), key=len)
    assert len(longest) <= 12, longest
