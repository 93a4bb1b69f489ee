"""Where are new agents of `bps-3` placed from 50 of their own transitions? Into one JSON file.

    python experiments/placing.py --out docs/results/placing.json

Per encoder and seed: how many of 300 new agents of known kinds are placed with their kind, how many
are said to be known, and how many of 200 agents of unseen kinds (one heads for the middle of the
field, one away from its landmark) are said to be unlike anything known.
"""

import json
from pathlib import Path

import jax
import numpy as np
import tyro
from provenance import measured

import adaps
from adaps.collect.jax import JaxCollector, uniform
from adaps.identity import samples
from adaps.identity.samples import Rows
from adaps.types import Environment, action_space_of

COPIES, STEPS = 10, 50
REWARD_SCALE = 0.5


def fresh(env: Environment, seed: int) -> Rows:
    """Transitions ``[copy, agent, step, …]`` of one episode in each of ten new copies."""
    collector, policy = JaxCollector(env), uniform(action_space_of(env))
    begin = collector.start(jax.random.key(1_000 + seed), COPIES)
    _, rollout = collector.collect(policy, begin, STEPS)
    rows = samples.regression(samples.as_steps(rollout, action_space_of(env)))
    return Rows(*(np.moveaxis(np.asarray(x), 0, 2) for x in rows))


def rewarded(rows: Rows, reward: np.ndarray) -> Rows:
    """The same transitions with another reward."""
    return Rows(rows.given, np.concatenate([rows.target[:, :-1], reward[:, None]], axis=-1))


def measure(encoder: str, seed: int) -> dict:
    """One seed's new agents."""
    env = adaps.make("bps-3")
    found = adaps.identify(env, encoder, seed=seed)
    kind_of = dict(zip(env.agent_types, found.clusters.tolist(), strict=True))
    rows = fresh(env, seed)
    known, unseen = [], []
    for copy in range(COPIES):
        for agent, own_type in enumerate(env.agent_types):
            own = Rows(*(x[copy, agent] for x in rows))
            placement = found.known.place(own)
            known.append((placement.cluster == kind_of[own_type], placement.is_known))
            if agent % 3 == 0:
                position, reward = own.target[:, 2:4], own.target[:, -1]
                to_the_middle = -REWARD_SCALE * np.linalg.norm(position, axis=-1)
                for other in (to_the_middle, -reward):
                    unseen.append(not found.known.place(rewarded(own, other)).is_known)
    right, is_known = np.mean(known, axis=0).round(4).tolist()
    return {
        "adjusted_rand_index": found.findings["adjusted_rand_index"],
        "placed_with_their_kind": right,
        "said_to_be_known": is_known,
        "unseen_kinds_flagged": round(float(np.mean(unseen)), 4),
    }


def main(out: Path, encoders: tuple[str, ...] = ("vae", "behaviour"), seeds: int = 3) -> None:
    """Measure each encoder and write the table."""
    table = {encoder: [measure(encoder, seed) for seed in range(seeds)] for encoder in encoders}
    budget = f"{STEPS} steps of each new agent"
    facts = {"measured": measured(range(seeds), budget)}
    out.write_text(json.dumps({**facts, **table}, indent=1) + "\n")
    print(out.read_text())


if __name__ == "__main__":
    tyro.cli(main)
