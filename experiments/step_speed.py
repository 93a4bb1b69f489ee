"""How fast environments step, beside the Python packages that have them.

    python experiments/step_speed.py --out docs/results/step_speed.json

One process on one core; ours and the package's are measured in turn, with random actions. The
packages are the plain ones from PyPI: ``rware`` has one colour, and ``lbforaging`` draws levels.
"""

import json
import os
import statistics
import time
from pathlib import Path

import gymnasium
import lbforaging  # noqa: F401  registers its environments
import rware  # noqa: F401  registers its environments
import tyro
from provenance import measured
from rich.console import Console
from rich.table import Table

import adaps
from adaps.cli.bench import Stepper

PAIRS = {
    "rware-2color-tiny-4ag": ("rware-tiny-4ag-v2", 1290),
    "rware-2color-small-8ag": ("rware-small-8ag-v2", 665),
    "foraging-fixed-8x8-4p-3f": ("Foraging-8x8-4p-3f-v3", 4160),
}
"""Our name → the package's, and steps per second of the SePS authors' fork on another machine."""
PACKAGE_STEPS = 1_000


def package_rate(env: gymnasium.Env) -> float:
    """Steps per second of a Gymnasium environment under random actions."""
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(PACKAGE_STEPS)]
    started = time.perf_counter()
    for action in actions:
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return PACKAGE_STEPS / (time.perf_counter() - started)


def main(repeats: int = 9, out: Path | None = None) -> None:
    """Measure, print, and write the figures."""
    facts = {"measured": measured([0], f"medians of {repeats} measurements in turn")}
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    headings = ("environment", "ours, steps/s", "package, steps/s", "times", "times the fork")
    table = Table(*headings, title="one core, 1,024 copies of ours, medians")
    figures = {}
    for name, (package, fork) in PAIRS.items():
        ours, theirs = Stepper(adaps.make(name)), gymnasium.make(package).unwrapped
        pairs = [(ours.steps_per_second(), package_rate(theirs)) for _ in range(repeats)]
        rate, other = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        figures[name] = {"ours": rate, "package": other, "ratio": ratio, "fork_elsewhere": fork}
        table.add_row(
            name, f"{rate:,.0f}", f"{other:,.0f}", f"{ratio:,.0f} ×", f"{rate / fork:,.0f} ×"
        )
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps({**facts, **figures}, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
