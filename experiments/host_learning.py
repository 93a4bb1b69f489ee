"""Does a team learn the same where its environment runs in Python? bps-1 both ways.

    python experiments/host_learning.py --out docs/results/host_learning.json

The same environment is trained in JAX, and through PettingZoo in processes of its own. Both are
judged in JAX, on the same resets, so that returns can be compared.
"""

import json
from functools import partial
from pathlib import Path

import tyro
from provenance import measured

import adaps
from adaps.envs import to_pettingzoo

METHODS = ("adaps", "fups")


def main(
    out: Path | None = None,
    env: str = "bps-1",
    steps: int = 300_000,
    seeds: int = 3,
    runs: Path = Path("runs/results/host_learning"),
) -> None:
    """Train both ways, and show every seed's greedy return on 1,000 resets."""
    made = adaps.make(env)
    ways = {
        "jax": made,
        "pettingzoo": adaps.from_pettingzoo(partial(to_pettingzoo, made), name=env),
    }
    table = {}
    for method in METHODS:
        for way, team in ways.items():
            folder = runs / f"{env}-{method}-{way}"
            result = adaps.train(
                team, method, steps=steps, seeds=seeds, evaluations=2, out=folder, resume=True
            )
            rows = adaps.evaluate(folder, made, 1_000, allow_changes=True)
            found = {
                "returns": [round(row.value, 2) for row in rows],
                "regrets": [None if row.regret is None else round(row.regret, 4) for row in rows],
                "adjusted_rand_index": result.adjusted_rand_index,
                "env_steps_per_second": round(result.env_steps_per_second),
            }
            table.setdefault(method, {})[way] = found
            print(method, way, json.dumps(found), flush=True)
    if out is not None:
        facts = {"env": env, **measured(range(seeds), f"{steps:,} environment steps")}
        out.write_text(json.dumps({**facts, "methods": table}, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
