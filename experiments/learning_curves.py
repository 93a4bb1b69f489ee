"""Learning curves of several runs in one figure, and what they come to, from their folders.

    python experiments/learning_curves.py runs/a runs/b --out docs/results/curves.svg

One panel per environment, one line per sharing method: mean over seeds, and the range of the seeds
shaded. The grey line is a policy that draws each action alike. Beside the figure, curves.json has
the numbers of the table in docs/results/README.md.
"""

import json
from collections import defaultdict
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import tyro
from matplotlib.figure import Figure
from provenance import measured

import adaps
from adaps.collect.episodes import mean_return
from adaps.collect.jax import JaxCollector
from adaps.files.run_folder import CONFIG, METRICS, RESULT

matplotlib.rcParams["svg.fonttype"] = "none"


def random_return(name: str, episodes: int = 200) -> float:
    """Mean return of actions that are drawn alike."""
    env = adaps.make(name)

    def policy(key, memory, observation, first):
        return memory, jax.random.randint(key, first.shape, 0, env.num_actions)

    return mean_return(JaxCollector(env).play(policy, jnp.arange(episodes)))


def curve(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps, and returns while actions are drawn, as ``[seed, point]``."""
    points = defaultdict(dict)
    for line in map(json.loads, (folder / METRICS).read_text().splitlines()):
        points[line["seed"]][line["env_steps"]] = line["return_sampled"]
    steps = sorted(next(iter(points.values())))
    return np.array(steps), np.array([[p[s] for s in steps] for p in points.values()])


def numbers(folder: Path, config: dict, random: float) -> dict:
    """What a run comes to; the drawn return is the mean over the last fifth of the curve."""
    steps, values = curve(folder)
    result = json.loads((folder / RESULT).read_text())
    budget = f"{config['steps']:,} environment steps per seed"
    return {
        "env": config["env"],
        "method": config["sharing"]["name"],
        "adjusted_rand_index": result["adjusted_rand_index"],
        "drawn_return": float(values[:, steps > 0.8 * steps[-1]].mean()),
        "return_per_seed": result["return_per_seed"],
        "random_return": random,
        "measured": measured(result["seeds"], budget),
    }


def main(runs: tyro.conf.Positional[tuple[Path, ...]], out: Path) -> None:
    """Draw the runs' curves, and write down what they come to."""
    configs = {run: json.loads((run / CONFIG).read_text())["config"] for run in runs}
    random = {name: random_return(name) for name in {c["env"] for c in configs.values()}}
    draw(configs, random, out)
    rows = [numbers(run, config, random[config["env"]]) for run, config in configs.items()]
    out.with_suffix(".json").write_text(json.dumps({"runs": rows}, indent=1) + "\n")


def draw(configs: dict[Path, dict], random: dict[str, float], out: Path) -> None:
    """The figure."""
    panels = defaultdict(dict)
    for folder, config in configs.items():
        panels[config["env"]][config["sharing"]["name"]] = curve(folder)
    figure = Figure(figsize=(4.2 * len(panels), 3), layout="constrained")
    for axes, (env, curves) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for method, (steps, values) in sorted(curves.items()):
            (line,) = axes.plot(steps, values.mean(axis=0), label=method)
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(steps, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
        axes.axhline(random[env], color="grey", linestyle=":", label="random")
        axes.set(title=env, xlabel="environment steps", ylabel="return, actions drawn")
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out)


if __name__ == "__main__":
    tyro.cli(main)
