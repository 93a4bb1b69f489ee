"""What ``import adaps`` gives, and the built wheel, installed into a new environment."""

import pkgutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import adaps
import adaps.envs

ROOT = Path(__file__).parents[1]


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"jax", "matplotlib", "numpy", "optax", "pandas", "scipy", "sklearn"}
    code = f"import sys, adaps, adaps.envs; print(*{heavy} & sys.modules.keys())"
    assert run(sys.executable, "-c", code).split() == []


@pytest.mark.parametrize("package", [adaps, adaps.envs])
def test_public_names_are_no_modules(package):
    """A module that is imported takes the place of whatever has its name."""
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing


def test_subpackages_can_be_reached():
    code = "import adaps; print(adaps.envs.make('bps-1').num_agents, adaps.training.__name__)"
    assert run(sys.executable, "-c", code).split() == ["15", "adaps.training"]
    code = "from adaps import nothing"
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert b"cannot import name 'nothing'" in ended.stderr


def test_the_wheel_works_in_a_new_environment(tmp_path):
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "--no-index", "--wheel-dir", str(tmp_path), str(ROOT),
    )  # fmt: skip
    (wheel,) = tmp_path.glob("adaps-*.whl")
    venv.create(tmp_path / "env", with_pip=False)
    binaries = tmp_path / "env" / "bin"
    here = sysconfig.get_paths()["purelib"]
    there = run(
        str(binaries / "python"), "-c", "import sysconfig as s; print(s.get_path('purelib'))"
    )
    # pip and the dependencies are borrowed from this environment; the package itself is not.
    run(sys.executable, "-m", "pip", "--python", str(binaries / "python"), "install", "--quiet",
        "--no-deps", "--no-index", str(wheel))  # fmt: skip
    Path(there.strip(), "borrowed.pth").write_text(here)
    assert (Path(there.strip()) / "adaps" / "py.typed").exists()
    assert run(str(binaries / "adaps"), "--version").startswith("adaps ")
    assert "bps-1" in run(str(binaries / "adaps"), "list")
    code = "import adaps; print(adaps.__file__, adaps.make('bps-1').num_agents)"
    location, agents = run(str(binaries / "python"), "-c", code).split()
    assert location.startswith(str(tmp_path))
    assert agents == "15"
