"""A study that takes seconds."""

from adaps.files.terminal import Terminal
from adaps.study import of_methods

TINY = {
    "steps": "8_000",
    "evaluations": "2",
    "eval-episodes": "8",
    "gather-steps": "1_600",
    "encoder.updates": "50",
}
COMPARE_ONE = ["compare", "--envs", "bps:2-2", "--methods", "fups", "--seeds", "2"]
COMPARE_ONE += ["--options", *(f"{name}={value}" for name, value in TINY.items())]
"""The words for ``tiny()``."""
COMPARE = [word for it in COMPARE_ONE for word in ([it, "adaps"] if it == "fups" else [it])]
"""The words for ``tiny(("fups", "adaps"))``."""


def quiet():
    return Terminal(quiet=True)


def tiny(methods=("fups",), seeds=(0, 1), envs=("bps:2-2",)):
    return of_methods(list(envs), list(methods), ["a2c"], seeds, TINY)


def finished(out):
    return list(out.glob("runs/*/*/seed-*/result.json"))


def contents(out):
    """What the runs of a study came to: everything but the time it took."""
    found = {}
    for path in sorted(out.glob("runs/*/*/*/checkpoints/*.safetensors")):
        found[str(path.relative_to(out))] = path.read_bytes()
    for path in sorted(out.glob("runs/*/*/*/identity.json")):
        found[str(path.relative_to(out))] = path.read_text()
    return found
