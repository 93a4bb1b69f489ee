"""Does ``adaps identify`` find the true kinds? Ten seeds on each environment, into one JSON file.

    python experiments/identity_seeds.py --out docs/results/identity.json

Per environment: the adjusted Rand index and the number of kinds per seed, and how often each
criterion would have chosen the true number. Each environment is written as soon as it is done, and
those that the file has already are left out.
"""

import json
import time
from collections import defaultdict
from pathlib import Path

import tyro
from provenance import measured

import adaps

TEAMS = (
    *(f"bps-{number}" for number in range(1, 7)),
    "rware-2color-tiny-4ag",
    "rware-2color-small-8ag",
    "rware-3color-tiny-6ag-hard",
    "foraging-fixed-8x8-4p-3f",
    "foraging-fixed-10x10-6p-4f-coop",
    "bps:9",
    "rware-1color-tiny-4ag",
    "bps:1-1-1-1-1",
    "foraging-fixed-8x8-3p-3f",
)
"""The last four: all alike twice, and all different twice."""


def measure(team: str, encoder: str, seeds: int) -> dict:
    """What every seed finds in one environment."""
    true = len(set(adaps.make(team).agent_types))
    found = defaultdict(list)
    right = defaultdict(int)
    for seed in range(seeds):
        started = time.perf_counter()
        findings = adaps.identify(team, encoder, seed=seed).findings
        gathered = findings["gathered"]["env_steps"]
        found["adjusted_rand_index"].append(round(findings["adjusted_rand_index"], 4))
        found["num_clusters"].append(findings["num_clusters"])
        found["verdict"].append(findings["advice"]["verdict"])
        found["agreement"].append(round(findings["confidence"]["agreement"], 4))
        found["seconds"].append(round(time.perf_counter() - started, 1))
        for criterion, number in findings["choices"].items():
            right[criterion] += number == true
        print(team, seed, {name: values[-1] for name, values in found.items()}, flush=True)
    facts = measured(range(seeds), f"{gathered:,} environment steps gathered")
    return {"true_kinds": true, **found, "criterion_right": dict(right), "measured": facts}


def main(
    out: Path,
    teams: tyro.conf.Positional[tuple[str, ...]] = TEAMS,
    encoder: str = "vae",
    seeds: int = 10,
) -> None:
    """Measure each team and write the table."""
    table = json.loads(out.read_text()) if out.exists() else {}
    rows = table.setdefault(encoder, {})
    for team in teams:
        if team not in rows:
            rows[team] = measure(team, encoder, seeds)
            out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
