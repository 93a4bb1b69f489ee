"""What finds the kinds where rewards are rare? Ways of gathering, into one JSON file.

    python experiments/ways_of_looking.py --out docs/results/ways_of_looking.json

Per environment and way: the adjusted Rand index of each seed, as ``adaps train`` finds the kinds.
Each row is written as soon as it is done, and those that the file has already are left out.
"""

import json
import time
from pathlib import Path

import tyro
from provenance import measured

import adaps

ENVS = (
    "foraging-fixed-8x8-4p-3f",
    "foraging-fixed-10x10-6p-4f-coop",
    "rware-2color-tiny-4ag",
)
WAYS = {
    "25,600 steps": {"gather_steps": 25_600},
    "256,000 steps": {"gather_steps": 256_000},
    "256,000 steps, random actions": {"gather_steps": 256_000, "gather_policy": "random"},
    "256,000 steps, half of the actions random": {
        "gather_steps": 256_000,
        "gather_policy": "mixed",
    },
    "1,000,000 steps": {"gather_steps": 1_000_000},
    "4,000,000 steps": {"gather_steps": 4_000_000},
    "25,600 steps, five times in 1,000,000 of training": {
        "gather_steps": 25_600,
        "num_identifications": 5,
    },
}
"""Name → options of ``adaps.train``; the last is asked with the policy trained till then."""


def measure(env: str, options: dict, seeds: int) -> dict:
    """What every seed finds, and how long it takes; training is as short as it can be."""
    looks = options.get("num_identifications", 1)
    training = 1_000_000 if looks > 1 else 1_000
    row = {"adjusted_rand_index": [], "num_clusters": [], "seconds": []}
    for seed in range(seeds):
        started = time.perf_counter()
        result = adaps.train(
            env,
            seeds=1,
            seed=seed,
            steps=looks * round(1.01 * options["gather_steps"] + 3_000) + training,
            evaluations=looks,
            eval_episodes=1,
            **options,
        )
        row["adjusted_rand_index"].append(round(result.adjusted_rand_index[0], 4))
        row["num_clusters"].append(len(set(result.clusters[0])))
        row["seconds"].append(round(time.perf_counter() - started, 1))
    return {**row, "measured": measured(range(seeds), "environment steps as the row says")}


def main(out: Path, envs: tyro.conf.Positional[tuple[str, ...]] = ENVS, seeds: int = 3) -> None:
    """Measure each way in each environment and write the table."""
    table = json.loads(out.read_text()) if out.exists() else {}
    for env in envs:
        rows = table.setdefault(env, {})
        for name, options in WAYS.items():
            if name not in rows:
                rows[name] = measure(env, options, seeds)
                out.write_text(json.dumps(table, indent=1) + "\n")
                print(env, name, rows[name], flush=True)


if __name__ == "__main__":
    tyro.cli(main)
