"""Which of other people's tasks can be trained in? Each is tried, and compared with a plain loop.

    python experiments/other_environments.py --out docs/results/other_environments.json

Needs what `make integrations` installs. Every discrete task is trained for a moment, and its greedy
episodes are played once more by a loop over the environment as it is, on the same resets: both must
earn the same. The others are refused, in the words that a user would read. A task that takes
too long is stopped; what a file holds already is not tried again.
"""

import importlib.util
import itertools
import json
import multiprocessing
import pkgutil
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from pettingzoo.utils.conversions import aec_to_parallel
from provenance import measured

import adaps
from adaps.collect.episodes import episode_seed, reset_key, step_key, step_keys
from adaps.collect.evaluate import player
from adaps.errors import RunError, UserError
from adaps.networks.agent import greedy
from adaps.types import HostEnvironment

STEPS, EPISODES = 400, 2
SECONDS = 400.0
"""That a task may take."""
FAMILIES = {"mpe2": "mpe2", **{f"pettingzoo.{f}": f for f in ("butterfly", "classic", "sisl")}}
SPREAD = "mpe2.simple_spread_v3"
KNIGHTS = "pettingzoo.butterfly.knights_archers_zombies_v11"
WRAPPERS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "agent_indicator_v0": (SPREAD, ()),
    "black_death_v3": (KNIGHTS, ()),
    "clip_reward_v0": (SPREAD, ()),
    "delay_observations_v0": (SPREAD, (2,)),
    "dtype_v0": (SPREAD, (np.float64,)),
    "flatten_v0": (KNIGHTS, ()),
    "frame_skip_v0": (SPREAD, (3,)),
    "frame_stack_v1": (SPREAD, (3,)),
    "max_observation_v0": (SPREAD, (2,)),
    "nan_noop_v0": (SPREAD, (0,)),
    "pad_action_space_v0": ("mpe2.simple_world_comm_v3", ()),
    "pad_observations_v0": ("mpe2.simple_tag_v3", ()),
    "sticky_actions_v0": (SPREAD, (0.2,)),
}
"""SuperSuit's wrappers: around what, and with which arguments."""


def main(out: Path | None = None, only: str = "") -> None:
    """Try every task whose name holds ``only``, and write down what came of it."""
    found = json.loads(out.read_text())["tasks"] if out is not None and out.exists() else {}
    for name in names():
        if only not in name or name in found:
            continue
        found[name] = in_process_of_its_own(name)
        print(name, json.dumps(found[name]), flush=True)
        if out is not None:
            facts = measured([0], f"{STEPS} steps of training, {EPISODES} episodes compared")
            out.write_text(json.dumps({**facts, "tasks": found}, indent=1) + "\n")


def names() -> Iterator[str]:
    """Every task of JaxMARL and Jumanji, PettingZoo's families, MPE and SuperSuit's wrappers."""
    from jaxmarl.registration import registered_envs  # noqa: PLC0415
    from jumanji.registration import registered_environments  # noqa: PLC0415

    yield from (f"jaxmarl:{name}" for name in registered_envs)
    yield "jaxmarl:overcooked,layout=coord_ring"
    yield "jaxmarl:HeuristicEnemySMAX,scenario=2s3z"
    yield from (f"jumanji:{name}" for name in sorted(registered_environments()))
    for package, short in FAMILIES.items():
        spec = importlib.util.find_spec(package)
        assert spec is not None
        for module in pkgutil.iter_modules(spec.submodule_search_locations):
            if re.search(r"_v\d+$", module.name):
                yield f"pettingzoo:{short}.{module.name}"
    yield from (f"supersuit:{name}" for name in WRAPPERS)


def in_process_of_its_own(name: str) -> dict[str, Any]:
    """What came of a task, however it ended."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(name, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(SECONDS) else {"came": f"stopped after {SECONDS:.0f} s"}
    except EOFError:
        return {"came": f"the process died with {process.exitcode}"}
    finally:
        process.kill()
        process.join()


def _send(name: str, answer: Any) -> None:
    try:
        answer.send(tried(name))
    except (RunError, UserError) as error:
        answer.send({"came": "refused", "why": str(error)})
    except Exception as error:
        answer.send({"came": "failed", "why": f"{type(error).__name__}: {error}"[:300]})


def tried(name: str) -> dict[str, Any]:
    """Train for a moment, and compare greedy episodes with a plain loop's.

    Raises:
        RunError, UserError: it cannot be trained in, and why.
    """
    env = made(name)
    with tempfile.TemporaryDirectory() as folder:
        adaps.train(
            env,
            "fups",
            steps=STEPS,
            evaluations=1,
            eval_episodes=EPISODES,
            out=Path(folder) / "run",
        )
        policy = adaps.load(Path(folder) / "run")
    with player(env) as play:
        numbers = jax.numpy.arange(EPISODES)
        played = play(policy.agent, greedy, policy.params, policy.sharing, numbers)
    plain = loop_of(name, env)(policy)
    ours, theirs = np.asarray(played.returns), np.asarray(plain)
    same = bool(np.allclose(ours, theirs, rtol=1e-4, atol=1e-4))
    return {
        "came": "trained" if same else "differs",
        "agents": env.num_agents,
        "obs": env.obs_size,
        "actions": env.num_actions,
        "returns": ours.mean(0).round(4).tolist(),
        "plain": theirs.mean(0).round(4).tolist(),
    }


def made(name: str) -> Any:
    """A task as a user makes it."""
    prefix, _, own = name.partition(":")
    if prefix == "supersuit":
        # By the module's own name, which processes that step it can import.
        make = importlib.import_module("other_environments").wrapped
        return adaps.from_pettingzoo(partial(make, own), name=name)
    return adaps.make(name)


def wrapped(wrapper: str) -> Any:
    """A PettingZoo environment in one of SuperSuit's wrappers."""
    supersuit = importlib.import_module("supersuit")
    module, arguments = WRAPPERS[wrapper]
    return getattr(supersuit, wrapper)(importlib.import_module(module).parallel_env(), *arguments)


def loop_of(name: str, env: Any) -> Callable[[adaps.Policy], list[list[float]]]:
    """What plays the same episodes without this package's adapters."""
    if isinstance(env, HostEnvironment):
        return partial(host_loop, name)
    return partial(jaxmarl_loop if name.startswith("jaxmarl:") else jumanji_loop, env.env, env)


def host_loop(name: str, policy: adaps.Policy) -> list[list[float]]:
    """Step by step, each agent's rewards added up whoever acted."""
    prefix, _, own = name.partition(":")
    returns = []
    for number in range(EPISODES):
        env = wrapped(own) if prefix == "supersuit" else parallel(own)
        total = dict.fromkeys(policy.agents.names, 0.0)
        seed = int(np.random.default_rng(episode_seed(number)).integers(2**31))
        seen, infos = env.reset(seed=seed)
        while env.agents:
            masks = {a: infos[a]["action_mask"] for a in env.agents if "action_mask" in infos[a]}
            actions = policy.act_by_name({a: seen[a] for a in env.agents}, legal=masks)
            seen, rewards, _, _, infos = env.step(actions)
            for agent, reward in rewards.items():
                total[agent] += float(reward)
        env.close()
        returns.append(list(total.values()))
    return returns


def parallel(own: str) -> Any:
    """A module's environment; agent by agent becomes parallel by PettingZoo's own conversion."""
    family = "" if importlib.util.find_spec(own.partition(".")[0]) else "pettingzoo."
    module = importlib.import_module(family + own)
    return (
        module.parallel_env() if hasattr(module, "parallel_env") else aec_to_parallel(module.env())
    )


def keys_of_steps(env: Any, number: int) -> Iterator[Any]:
    """What each step of an episode is drawn with, where so many are played side by side."""
    known = step_keys(env.max_steps) if env.max_steps else map(step_key, itertools.count())
    for key in known:
        yield jax.random.split(jax.random.split(key, 1 + EPISODES)[1 + number])[0]


def jaxmarl_loop(raw: Any, env: Any, policy: adaps.Policy) -> list[list[float]]:
    """JaxMARL's own reset and step."""
    step, returns = jax.jit(raw.step_env), []
    for number in range(EPISODES):
        total = dict.fromkeys(raw.agents, 0.0)
        seen, state = raw.reset(reset_key(number))
        for key in keys_of_steps(env, number):
            try:
                says = getattr(raw, "get_legal_moves", raw.get_avail_actions)
                legal = says(state)
            except NotImplementedError:
                legal = None
            actions = policy.act_by_name({a: seen[a] for a in raw.agents}, legal=legal)
            seen, state, rewards, dones, _ = step(key, state, actions)
            for agent in total:
                total[agent] += float(rewards[agent])
            if dones["__all__"]:
                break
        returns.append(list(total.values()))
    return returns


def jumanji_loop(raw: Any, env: Any, policy: adaps.Policy) -> list[list[float]]:
    """Jumanji's own reset and step; what all earn together is split evenly."""
    step, returns = jax.jit(raw.step), []
    for number in range(EPISODES):
        total = np.zeros(env.num_agents)
        state, now = raw.reset(jax.random.key_data(reset_key(number)))
        while not now.last():
            seen = np.asarray(now.observation.agents_view, np.float32).reshape(env.num_agents, -1)
            legal = getattr(now.observation, "action_mask", None)
            state, now = step(state, policy.act(seen, legal=legal))
            reward = np.asarray(now.reward, float)
            total += reward if reward.ndim else reward / env.num_agents
        returns.append(total.tolist())
    return returns


if __name__ == "__main__":
    tyro.cli(main)
