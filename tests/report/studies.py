"""Studies' folders with made-up runs: real training would be too slow."""

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

AGENTS, CLUSTERS = 4, [0, 0, 1, 1]
RANDOM, BEST = -1000.0, -100.0


def variants_of(*methods: str) -> list[dict[str, Any]]:
    return [{"name": method, "options": {"sharing": method}} for method in methods]


def swept(**over: Sequence[str]) -> dict[str, Any]:
    """The part of a plan that says what a sweep varies."""
    each = {f"sharing.{name}": list(values) for name, values in over.items()}
    variants = []
    for values in product(*each.values()):
        own = dict(zip(each, values, strict=True))
        variants.append({"name": ", ".join(f"{k}={v}" for k, v in own.items()), "options": own})
    return {"over": each, "variants": variants, "options": {"sharing": "adaps", "steps": "1e6"}}


def plan_of(
    envs: Sequence[str] = ("bps-1",),
    variants: Sequence[dict[str, Any]] = (),
    seeds: Sequence[int] = (0, 1, 2),
    **changes: Any,
) -> dict[str, Any]:
    variants = list(variants) or variants_of("adaps", "fups")
    runs = [
        {"env": env, "variant": v["name"], "seed": seed, "folder": f"runs/{e}/{i}/seed-{seed}"}
        for (e, env), (i, v), seed in product(enumerate(envs), enumerate(variants), seeds)
    ]
    return {
        "schema": 1,
        "title": "A comparison",
        "envs": list(envs),
        "variants": variants,
        "over": None,
        "seeds": list(seeds),
        "options": {"steps": "1_000_000"},
        "machine": "2 cores",
        "commit": None,
        "versions": {"adaps": "0.1.0"},
        "runs": runs,
        **changes,
    }


Final = Callable[[str, str, int], float]


def steady(env: str, variant: str, seed: int) -> float:
    """Made-up final returns: AdaPS well ahead, seeds close together."""
    return (-150.0 if variant == "adaps" else -400.0) - 10 * seed


def config(plan: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    variant = next(v for v in plan["variants"] if v["name"] == run["variant"])
    options = {**plan["options"], **variant["options"]}
    own = {k.removeprefix("sharing."): v for k, v in options.items() if k.startswith("sharing.")}
    sharing = {"name": options.get("sharing", "adaps"), **{k: _number(v) for k, v in own.items()}}
    data = {
        "env": run["env"],
        "sharing": sharing,
        "algo": {"name": "a2c"},
        "steps": 1_000_000,
        "seeds": 1,
        "seed": run["seed"],
    }
    return {"schema": 1, "config": data, "versions": {}}


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def result(final: float, seed: int, best: float | None = BEST, parameters: int = 10_000) -> Any:
    return {
        "schema": 1,
        "seeds": [seed],
        "parameters": parameters,
        "parameters_fups": 10_000,
        "parameters_nops": 40_000,
        "return_per_seed": [final],
        "regret_per_seed": [None if best is None else (best - final) / abs(best)],
        "best_return_mean": best,
        "episodes": 50,
        "env_steps_per_second": 1234.5,
        "wall_seconds": 100.0,
    }


def metrics(final: float, seed: int, points: int = 5, **extra: Callable[[int], float]) -> str:
    """A curve that comes to its end in equal steps, with 200,000 environment steps between them."""
    lines = []
    for i in range(1, points + 1):
        value = RANDOM + (final - RANDOM) * i / points
        line = {"seed": seed, "env_steps": 200_000 * i, "return_greedy": value}
        line |= {"return_sampled": value - 5, "returns_per_type": None, "seconds": 10.0 * i + seed}
        lines.append(json.dumps(line | {name: of(i) for name, of in extra.items()}))
    return "".join(f"{line}\n" for line in lines)


def identity(seed: int) -> dict[str, Any]:
    latent = np.random.default_rng(seed).normal(size=(AGENTS, 3)).round(3).tolist()
    return {
        "schema": 1,
        "seeds": [seed],
        "clusters": [CLUSTERS],
        "num_clusters": [2],
        "adjusted_rand_index": [1.0 - 0.1 * seed],
        "agent_types": CLUSTERS,
        "silhouette": [{"2": 0.9}],
        "latent": [latent],
    }


def sharing(seed: int) -> dict[str, Any]:
    shares = {"keep": 1.0, "overlap": None, "dead": 0.0}
    return {
        "schema": 1,
        "seeds": [seed],
        "group": [[0] * AGENTS],
        "masks": [{"actor": [["1111"] * AGENTS], "critic": [["1111"] * AGENTS]}],
        "summary": [{"actor": [shares], "critic": [shares]}],
    }


def write_run(folder: Path, plan: dict[str, Any], run: dict[str, Any], final: float, **of) -> None:
    """One finished run; ``of`` goes to :func:`result` and, where it is callable, to the curve."""
    path = folder / run["folder"]
    path.mkdir(parents=True)
    seed = run["seed"]
    extra = {name: value for name, value in of.items() if callable(value) or name == "points"}
    rest = {name: value for name, value in of.items() if name not in extra}
    for name, data in {
        "config": config(plan, run),
        "identity": identity(seed),
        "sharing": sharing(seed),
        "result": result(final, seed, **rest),
    }.items():
        (path / f"{name}.json").write_text(json.dumps(data))
    (path / "metrics.jsonl").write_text(metrics(final, seed, **extra))


def write_study_folder(
    folder: Path,
    plan: dict[str, Any] | None = None,
    final: Final = steady,
    random: dict[str, float] | None = None,
    **of: Any,
) -> Path:
    """A study whose runs are all finished.

    Args:
        folder: made if it is not there.
        plan: ``study.json``.
        final: the return at the end of a run of this environment, variant and seed.
        random: what random play comes to; :data:`RANDOM` everywhere if None.
        of: what is the same for all runs, see :func:`write_run`.
    """
    plan = plan or plan_of()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(plan))
    known = dict.fromkeys(plan["envs"], RANDOM) if random is None else random
    (folder / "references.json").write_text(json.dumps({"schema": 1, "random_return": known}))
    for run in plan["runs"]:
        write_run(folder, plan, run, final(run["env"], run["variant"], run["seed"]), **of)
    return folder
