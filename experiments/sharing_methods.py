"""Every sharing method and control on two environments, into one JSON file.

    python experiments/sharing_methods.py --out docs/results/methods.json

Takes about an hour on two cores. Each row is written as soon as it is done, and those that the file
has already are left out; a run that was cut off resumes.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from provenance import measured

import adaps
from adaps.files.run_folder import RESULT

STEPS, SEEDS, EPISODES = 1_000_000, 4, 1_000
KEPT = (
    "parameters",
    "return_mean",
    "return_per_seed",
    "regret_mean",
    "best_return_mean",
    "adjusted_rand_index",
    "seeds",
    "env_steps",
)
"""Of a run's result."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a method, its options, and how it is trained."""

    label: str
    sharing: object
    algo: adaps.A2C = field(default_factory=adaps.A2C)
    hidden: tuple[int, ...] = (64, 64)


def rows(env: str) -> list[Row]:
    """What is compared; learning rates were chosen on other seeds, see docs/results/methods.md."""
    slow = adaps.A2C(learning_rate=3e-4) if env == "bps-3" else adaps.A2C()
    learned = adaps.A2C(learning_rate={"bps-1": 3e-3, "bps-3": 1e-3}[env], adam_epsilon=1e-8)
    wide = {"bps-1": 116, "bps-3": 154}[env]  # about SePS's number of parameters
    return [
        Row("NoPS", adaps.NoPS()),
        Row("FuPS", adaps.FuPS()),
        Row("FuPS+id", adaps.FuPSId(), slow),
        Row("SePS", adaps.SePS()),
        Row("SNP-PS", adaps.SNPPS()),
        Row("AdaPS", adaps.AdaPS()),
        Row("Kaleidoscope", adaps.Kaleidoscope(), learned),
        Row("AdaPS, wide", adaps.AdaPS(), hidden=(wide, wide)),
        Row("AdaPS, oracle groups", adaps.AdaPS(groups="oracle")),
        Row("AdaPS, shuffled groups", adaps.AdaPS(groups="shuffled")),
        Row("FuPS+group-id", adaps.FuPSGroupId(), slow),
        Row("FuPS+mask", adaps.FuPSMask()),
        Row("SePS, oracle groups", adaps.SePS(groups="oracle")),
        Row("SePS, shuffled groups", adaps.SePS(groups="shuffled")),
    ]


def train(env: str, row: Row, folder: Path) -> dict:
    """What the row comes to."""
    adaps.train(
        env,
        row.sharing,
        row.algo,
        steps=STEPS,
        seeds=SEEDS,
        eval_episodes=EPISODES,
        hidden=row.hidden,
        out=folder,
        resume=True,
    )
    result = json.loads((folder / RESULT).read_text())
    return {
        "method": row.label,
        "learning_rate": row.algo.learning_rate,
        "hidden": row.hidden,
        **{name: result[name] for name in KEPT},
        "measured": measured(result["seeds"], f"{STEPS:,} environment steps per seed"),
    }


def main(
    out: Path,
    runs: Path = Path("runs/results/methods"),
    envs: tuple[str, ...] = ("bps-1", "bps-3"),
) -> None:
    """Train what the file lacks; the runs go to a folder of their own."""
    table = json.loads(out.read_text()) if out.exists() else {}
    for env in envs:
        done = table.setdefault(env, [])
        for row in rows(env):
            if row.label not in [one["method"] for one in done]:
                print(f"{env}: {row.label} …", flush=True)
                name = f"{env}-{row.label}".replace(" ", "-").replace(",", "")
                done.append(train(env, row, runs / name))
                out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
