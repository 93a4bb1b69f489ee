"""What `make results` measures besides the studies: commands, and the files that they write."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
CURVES = {
    "rware-2color-tiny-4ag": "8_000_000",
    "foraging-fixed-8x8-4p-3f": "4_000_000",
}
"""Environment → steps of the runs of curves.svg, each with AdaPS and with FuPS."""
FOUND = (
    "methods",
    "curves",
    "identity",
    "latent",
    "ways_of_looking",
    "placing",
    "host_learning",
)
SPEEDS = ("bench", "bench_rware", "host_speed", "step_speed")
"""One after another, on a machine that does nothing else."""
NAMES = (*FOUND, *SPEEDS)
ROW_BY_ROW = ("methods", "identity", "ways_of_looking")
"""Their scripts measure what their file lacks."""


def left(name: str, runs: Path) -> list[list[str]]:
    """Commands that measure what is left of one; none where its file is whole."""
    if name not in ROW_BY_ROW and (there := files(name, runs)):
        print(f"{there[0]} is there: delete it to measure again")
        return []
    return commands(name, runs)


def files(name: str, runs: Path) -> list[Path]:
    """What is kept of one, as far as it is there; of the latent space, a folder of maps."""
    endings = ("",) if name == "latent" else (".json", ".svg")
    each = (runs / f"{name}{ending}" for ending in endings)
    return [file for file in each if file.exists()]


def commands(name: str, runs: Path) -> list[list[str]]:
    """Commands that measure one, in their order; the last writes its file."""
    if name == "curves":
        return _curves(runs / name, runs / "curves.svg")
    out = str(runs / f"{name}.json")
    rware = ("rware-2color-tiny-4ag", "--methods", "seps", "adaps", "--repeats", "5")
    each = {
        "methods": _script("sharing_methods", "--out", out, "--runs", str(runs / name)),
        "identity": _script("identity_seeds", "--out", out),
        "latent": _script("latent_map", "--out", str(runs / name)),
        "bench": _adaps("bench", "bps-1", "--repeats", "9", "--out", out),
        "bench_rware": _adaps("bench", *rware, "--out", out),
        "host_speed": _script(name, "--seconds", "5", "--repeats", "2", "--out", out),
    }
    return [each.get(name, _script(name, "--out", out))]


def _curves(runs: Path, out: Path) -> list[list[str]]:
    """Four runs, which resume where they were cut off, and their figure."""
    trained: dict[str, list[str]] = {}
    for env, steps in CURVES.items():
        for method in ("adaps", "fups"):
            folder = str(runs / f"{env}-{method}")
            how = ("--sharing", method, "--steps", steps, "--seeds", "2", "--eval-episodes", "200")
            trained[folder] = _adaps("train", env, *how, "--auto-resume", "--out", folder)
    return [*trained.values(), _script("learning_curves", *trained, "--out", str(out))]


def _script(name: str, *words: str) -> list[str]:
    return [sys.executable, str(HERE / f"{name}.py"), *words]


def _adaps(*words: str) -> list[str]:
    return [sys.executable, "-m", "adaps", *words]
