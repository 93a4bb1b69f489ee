"""How fast environments that run in Python train, and how much of that is their own step.

    python experiments/host_speed.py --out docs/results/host_speed.json

For each environment: steps per second of one process that takes random actions; then training, on
all cores, with several seeds at a time and with one. ``share`` is processor time inside the
environment's own ``reset`` and ``step``, divided by cores times seconds.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from threading import Barrier, Event, Thread
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
import tyro
from pettingzoo import ParallelEnv
from provenance import measured

import adaps
from adaps.collect.cores import cores
from adaps.config.checks import resolved
from adaps.config.training import TrainConfig
from adaps.training.device_placement import stack
from adaps.training.host_stages import make_host_stages
from adaps.training.stages import initial_params, seed_keys
from adaps.types import HostEnvironment

SEPS = {"rware-tiny-4ag-v2": 795, "Foraging-8x8-4p-3f-v3": 1468}
"""Steps per second of the SePS authors' code on the same kind of environment, on another machine of
two cores (float32 products at 88 GFLOP/s per core)."""


class Tuples(ParallelEnv):
    """A Gymnasium environment of several agents, whose spaces are tuples."""

    metadata = {"name": "tuples"}  # noqa: RUF012
    render_mode = None

    def __init__(self, name: str, package: str) -> None:
        __import__(package)
        self.env = gymnasium.make(name, disable_env_checker=True)
        self.metadata = {"name": name}
        self.possible_agents = [f"agent_{i}" for i in range(len(self.env.action_space))]
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> Any:
        return self.env.observation_space[self.possible_agents.index(agent)]

    def action_space(self, agent: str) -> Any:
        return self.env.action_space[self.possible_agents.index(agent)]

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents = list(self.possible_agents)
        seen, _ = self.env.reset(seed=seed)
        return dict(zip(self.agents, seen, strict=True)), {}

    def step(self, actions: dict[str, int]) -> Any:
        agents = self.agents
        seen, rewards, ended, cut_off, _ = self.env.step([actions[a] for a in agents])
        if ended or cut_off:
            self.agents = []
        each = (
            dict(zip(agents, np.asarray(seen, np.float32), strict=True)),
            dict(zip(agents, map(float, rewards), strict=True)),
            dict.fromkeys(agents, bool(ended)),
            dict.fromkeys(agents, bool(cut_off)),
        )
        return (*each, {})


ENVIRONMENTS: dict[str, Callable[[], HostEnvironment]] = {
    name: partial(adaps.from_pettingzoo, partial(Tuples, name, package), name=name)
    for name, package in (("rware-tiny-4ag-v2", "rware"), ("Foraging-8x8-4p-3f-v3", "lbforaging"))
} | {"simple_tag_v3": partial(adaps.from_pettingzoo, "mpe2.simple_tag_v3")}


SETTINGS = {
    "four seeds, 8 copies": (8, 4, 1),
    "four seeds, 16 copies": (16, 4, 1),
    "four seeds, 32 copies": (32, 4, 1),
    "one seed, 16 copies": (16, 1, 2),
}
"""Copies of each seed, seeds at a time, and processes of each; as chosen without being told."""


def alone(env: HostEnvironment, seconds: float) -> float:
    """Steps per second of one copy in this process."""
    copies = env.open(1, 0)
    now, steps, rng = copies.reset([0]), 0, np.random.default_rng(0)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        legal = now.observation.legal
        now = copies.step(np.where(legal, rng.random(legal.shape), -1).argmax(-1))
        steps += 1
    return steps / copies.seconds


def training(env: HostEnvironment, num_envs: int, seeds: int, workers: int, seconds: float) -> Any:
    """Steps per second of so many seeds that train side by side, and the environment's share."""
    config = resolved(
        TrainConfig(env.name, adaps.FuPS(), adaps.A2C(), num_envs=num_envs, workers=workers), env
    )
    stages = make_host_stages(env, config)
    network = stages.setting.agent.network
    results, together = [], Barrier(seeds)

    def one(seed: int) -> None:
        with stages.opened(Event()) as own:
            keys = seed_keys(jnp.array([seed], jnp.uint32))
            each = [adaps.FuPS().build(keys.masks[0], network, None)]
            params, sharing = initial_params(network, adaps.FuPS(), keys, each), stack(each)
            state = own.advance(own.begin(keys, params, sharing), sharing, 3)
            copies = state.position.copies
            together.wait()
            began, inside, updates = time.perf_counter(), copies.seconds, 0
            while time.perf_counter() - began < seconds:
                state = own.advance(state, sharing, 1)
                updates += 1
            took = time.perf_counter() - began
            steps = updates * config.steps_per_update
            results.append((steps / took, (copies.seconds - inside) / took))

    threads = [Thread(target=one, args=(seed,)) for seed in range(seeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(r[0] for r in results), sum(r[1] for r in results) / cores()


def main(out: Path | None = None, seconds: float = 6.0, repeats: int = 3) -> None:
    """Measure every environment in turn, and show medians."""
    rows = {}
    for name, make in ENVIRONMENTS.items():
        env = make()
        one = median(alone(env, seconds / 2) for _ in range(repeats))
        row: dict[str, Any] = {"alone": round(one)}
        for label, (num_envs, seeds, workers) in SETTINGS.items():
            runs = [training(env, num_envs, seeds, workers, seconds) for _ in range(repeats)]
            rate, share = (median(values) for values in zip(*runs, strict=True))
            row[label] = {"steps_per_second": round(rate), "share": round(share, 3)}
        row["seps"] = SEPS.get(name)
        rows[name] = row
        print(name, json.dumps(row), flush=True)
    if out is not None:
        most = max(seeds for _, seeds, _ in SETTINGS.values())
        budget = f"medians of {repeats} measurements of {seconds:g} s"
        facts = {"measured": measured(range(most), budget)}
        out.write_text(json.dumps({**facts, "environments": rows}, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
