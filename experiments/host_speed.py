"""How fast environments that run in Python train, and how much of that is their own step.

    python experiments/host_speed.py --out docs/results/host_speed.json

For each environment: steps per second of one process that takes random actions; then training, on
all cores, with several seeds at a time and with one. ``share`` is processor time inside the
environment's own ``reset`` and ``step``, divided by cores times seconds.
"""

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from threading import Barrier, Event, Thread
from typing import Any
from uuid import uuid4

import gymnasium
import jax.numpy as jnp
import numpy as np
import tyro
from mpe2 import simple_tag_v3
from pettingzoo import ParallelEnv
from pettingzoo.utils import BaseParallelWrapper
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


class Timed(BaseParallelWrapper):
    """Adds up the processor time inside ``reset`` and ``step``, in a file that others may read."""

    def __init__(self, make: Callable[[], ParallelEnv], folder: Path) -> None:
        super().__init__(make())
        self.spent = np.memmap(folder / uuid4().hex, np.float64, "w+", shape=(1,))

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        return self._timed(super().reset, seed, options)

    def step(self, actions: dict[str, int]) -> Any:
        return self._timed(super().step, actions)

    def _timed(self, function: Callable[..., Any], *args: Any) -> Any:
        began = time.thread_time()
        answer = function(*args)
        self.spent[0] += time.thread_time() - began
        return answer


def seconds_inside(folder: Path) -> float:
    """Processor time in all environments that were ever made with this folder."""
    return sum(float(np.fromfile(file, np.float64)[0]) for file in folder.iterdir())


ENVIRONMENTS: dict[str, Callable[[], ParallelEnv]] = {
    "rware-tiny-4ag-v2": partial(Tuples, "rware-tiny-4ag-v2", "rware"),
    "Foraging-8x8-4p-3f-v3": partial(Tuples, "Foraging-8x8-4p-3f-v3", "lbforaging"),
    "simple_tag_v3": simple_tag_v3.parallel_env,
}


SETTINGS = {
    "four seeds, 8 copies": (8, 4, 1),
    "four seeds, 16 copies": (16, 4, 1),
    "four seeds, 32 copies": (32, 4, 1),
    "one seed, 16 copies": (16, 1, 2),
}
"""Copies of each seed, seeds at a time, and processes of each; as chosen without being told."""


def alone(env: HostEnvironment, folder: Path, seconds: float) -> float:
    """Steps per second of one copy in this process."""
    copies, inside = env.open(1, 0), seconds_inside(folder)
    now, steps, rng = copies.reset([0]), 0, np.random.default_rng(0)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        legal = now.observation.legal
        now = copies.step(np.where(legal, rng.random(legal.shape), -1).argmax(-1))
        steps += 1
    return steps / (seconds_inside(folder) - inside)


def training(
    env: HostEnvironment, folder: Path, num_envs: int, seeds: int, workers: int, seconds: float
) -> tuple[float, float]:
    """Steps per second of so many seeds that train side by side, and the environment's share."""
    config = resolved(
        TrainConfig(env.name, adaps.FuPS(), adaps.A2C(), num_envs=num_envs, workers=workers), env
    )
    stages = make_host_stages(env, config)
    network = stages.setting.agent.network
    rates, together = [], Barrier(seeds + 1, timeout=300)

    def one(seed: int) -> None:
        with stages.opened(Event()) as own:
            keys = seed_keys(jnp.array([seed], jnp.uint32))
            each = [adaps.FuPS().build(keys.masks[0], network, None)]
            params, sharing = initial_params(network, adaps.FuPS(), keys, each), stack(each)
            state = own.advance(own.begin(keys, params, sharing), sharing, 3)
            together.wait()
            began, updates = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                state = own.advance(state, sharing, 1)
                updates += 1
            rates.append(updates * config.steps_per_update / (time.perf_counter() - began))

    threads = [Thread(target=one, args=(seed,)) for seed in range(seeds)]
    for thread in threads:
        thread.start()
    together.wait()
    began, inside = time.perf_counter(), seconds_inside(folder)
    for thread in threads:
        thread.join()
    spent = seconds_inside(folder) - inside
    return sum(rates), spent / (time.perf_counter() - began) / cores()


def measure(make: Callable[[], ParallelEnv], name: str, seconds: float, repeats: int) -> Any:
    """Medians of one environment."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        env = adaps.from_pettingzoo(partial(Timed, make, folder), name=name)
        one = median(alone(env, folder, seconds / 2) for _ in range(repeats))
        row: dict[str, Any] = {"alone": round(one)}
        for label, setting in SETTINGS.items():
            runs = [training(env, folder, *setting, seconds) for _ in range(repeats)]
            rate, share = (median(values) for values in zip(*runs, strict=True))
            row[label] = {"steps_per_second": round(rate), "share": round(share, 3)}
    return row | {"seps": SEPS.get(name)}


def main(out: Path | None = None, seconds: float = 6.0, repeats: int = 3) -> None:
    """Measure every environment in turn, and show medians."""
    rows = {}
    for name, make in ENVIRONMENTS.items():
        rows[name] = measure(make, name, seconds, repeats)
        print(name, json.dumps(rows[name]), flush=True)
    if out is not None:
        most = max(seeds for _, seeds, _ in SETTINGS.values())
        budget = f"medians of {repeats} measurements of {seconds:g} s"
        facts = {"measured": measured(range(most), budget)}
        out.write_text(json.dumps({**facts, "environments": rows}, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
