"""Do two versions of the package come to the same results? A dozen settings, to the last digit.

``python experiments/same_results.py before.json`` writes what the installed version comes to;
``python experiments/same_results.py after.json --compare before.json`` also says what differs.
Returns, learning curves, kinds and parameter counts are compared, but no file formats.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv

import adaps

METHODS = (
    "nops",
    "fups",
    "fups+id",
    "seps",
    "snp-ps",
    "adaps",
    "kaleidoscope",
    "fups+group-id",
    "fups+mask",
)
SETTINGS = {
    **{f"bps:2-2 {method}": ("bps:2-2", method, {"steps": 40_000}) for method in METHODS},
    **{
        f"{env} {method}": (env, method, {"steps": 30_000, "gather_steps": 12_800})
        for env in ("rware-2color-tiny-4ag", "foraging-2s-fixed-8x8-3p-2f")
        for method in ("adaps", "fups")
    },
    "deaths adaps": ("deaths", "adaps", {"steps": 8_000, "num_envs": 4, "workers": 0}),
    "deaths fups": ("deaths", "fups", {"steps": 8_000, "num_envs": 4, "workers": 0}),
    "bps:2-2 scaled": (
        "bps:2-2",
        "adaps",
        {"steps": 40_000, "normalise_obs": True, "scale_rewards": True},
    ),
}


class Deaths(ParallelEnv):
    """Two kinds of agents, of whom one each dies half-way; an action of one's own kind pays."""

    metadata = {"name": "deaths"}  # noqa: RUF012
    render_mode = None
    names = ("a", "b", "c", "d")

    def __init__(self) -> None:
        self.possible_agents = list(self.names)
        self.agents: list[str] = []
        self.time = 0

    def observation_space(self, agent):
        return Box(-10, 10, (2,), np.float32)

    def action_space(self, agent):
        return Discrete(3)

    def reset(self, seed=None, options=None):
        self.time, self.agents = 0, list(self.names)
        self.drawn = np.random.default_rng(seed)
        return self._seen(), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.time += 1
        acted = self.agents
        pays = {agent: float(actions[agent] == self.names.index(agent) // 2) for agent in acted}
        over = self.time >= 10
        dead = [agent for agent in acted if agent in "ac" and self.time == 5]
        seen = self._seen()
        self.agents = [] if over else [agent for agent in acted if agent not in dead]
        ended = {agent: agent in dead for agent in acted}
        cut_off = {agent: over and agent not in dead for agent in acted}
        return seen, pays, ended, cut_off, {agent: {} for agent in acted}

    def _seen(self):
        return {
            agent: np.array([self.time, self.drawn.normal()], np.float32) for agent in self.agents
        }


def trained(env: str, method: str, options: dict[str, Any]) -> dict[str, Any]:
    """What a short run comes to."""
    made = adaps.from_pettingzoo(Deaths, name="deaths") if env == "deaths" else adaps.make(env)
    more: Any = {"seeds": 2, "evaluations": 2, "eval_episodes": 50, **options}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        result = adaps.train(made, method, encoder=adaps.VAE(updates=1_000), out=out, **more)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {
        "returns": result.returns,
        "clusters": result.clusters,
        "parameters": result.parameters,
        "curve": [{k: v for k, v in line.items() if k != "seconds"} for line in lines],
    }


def identified() -> dict[str, Any]:
    """What is said of bps-3."""
    found = adaps.identify("bps-3", adaps.VAE(updates=3_000))
    data = found.findings or {}
    return {
        "clusters": found.clusters.tolist(),
        "latent": data["latent"],
        "confidence": data["confidence"],
        "prediction": data["prediction"],
        "advice": data["advice"],
    }


def main() -> int:
    """Write down every setting's results, and compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--compare", type=Path)
    words = parser.parse_args()
    found = {"identify bps-3": identified()}
    for name, setting in SETTINGS.items():
        print(name, flush=True)
        found[name] = trained(*setting)
    found = json.loads(json.dumps(found))
    words.out.write_text(json.dumps(found, indent=1) + "\n")
    before = json.loads(words.compare.read_text()) if words.compare else found
    differing = [name for name in before if before[name] != found[name]]
    print(f"{len(before) - len(differing)} of {len(before)} settings are the same")
    for name in differing:
        fields = [k for k in before[name] if before[name][k] != found[name].get(k)]
        print(f"{name}: {', '.join(fields)} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
