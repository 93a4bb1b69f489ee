"""Every sharing method and control on two environments: the table in docs/results/methods.md.

    python experiments/sharing_methods.py --out runs/methods

Takes about an hour on two cores. Runs that are finished are not run again; the table is made
anew from the runs' folders each time.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import tyro

import adaps
from adaps.run_folder import RESULT

STEPS, SEEDS, EPISODES = 1_000_000, 4, 1_000


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
    """The row's result, from its folder where it is finished."""
    if not (folder / RESULT).exists():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{env}: {row.label} …", flush=True)
        adaps.train(
            env,
            row.sharing,
            row.algo,
            steps=STEPS,
            seeds=SEEDS,
            eval_episodes=EPISODES,
            hidden=row.hidden,
            out=folder,
        )
    return json.loads((folder / RESULT).read_text())


def table_row(row: Row, result: dict) -> str:
    """One line in Markdown."""
    seeds = ", ".join(f"{value:.1f}" for value in result["return_per_seed"]).replace("-", "−")
    cells = (
        row.label,
        f"{result['parameters']:,}",
        f"{row.algo.learning_rate:g}",
        f"{result['return_mean']:.1f}".replace("-", "−"),
        f"{100 * result['regret_mean']:.1f} %",
        seeds,
        ", ".join("–" if i is None else f"{i:.2f}" for i in result["adjusted_rand_index"]),
        f"{result['env_steps_per_second']:,.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main(out: Path = Path("runs/methods"), envs: tuple[str, ...] = ("bps-1", "bps-3")) -> None:
    """Train what is missing, and print the table."""
    headings = ("method", "parameters", "learning rate", "return", "regret", "return per seed")
    headings += ("Rand index per seed", "steps/s")
    for env in envs:
        lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
        for row in rows(env):
            result = train(env, row, out / f"{env}-{row.label}".replace(" ", "-").replace(",", ""))
            lines.append(table_row(row, result))
        print(f"\n{env}\n\n" + "\n".join(lines), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
