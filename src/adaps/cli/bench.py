"""How fast training is on this machine. Stage: none; it times ``train``'s inner loop.

The setting is that of the SePS authors' code: 8 copies, rollouts of 5 steps, 64×64 networks.
Each measurement runs in a process of its own, bound to as many cores as it is said to use.
"""

import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float, Int
from rich.table import Table
from threadpoolctl import threadpool_limits

from adaps.collect.jax import JaxCollector, Position, step
from adaps.config.choices import algo_options, sharing_options
from adaps.config.groups import as_identity
from adaps.config.parsing import parse
from adaps.config.training import AgentTypes, Count, TrainConfig
from adaps.envs import make
from adaps.errors import UserError, reason
from adaps.extensions import Amount, check_options, starting_processes
from adaps.files.checkpoint import Series
from adaps.files.provenance import commit, machine
from adaps.files.run_folder import refusals
from adaps.files.terminal import Terminal, complain
from adaps.networks.weights import count_params
from adaps.sharing import METHODS
from adaps.training.device_placement import stack
from adaps.training.journal import PAUSE, Journal
from adaps.training.result import peak_memory_mb
from adaps.training.stages import TrainState, initial_params, make_jax_stages, seed_keys
from adaps.types import Environment, Sharing

SEPS_STEPS_PER_SECOND = {"fups": 696, "seps": 661, "nops": 443}
"""The SePS authors' code on bps-1, one thread, where a core does 88 GFLOP/s (see the docs)."""
SEPS_GFLOPS = 88
MEASURED_SECONDS = 0.5
"""How long one measurement trains."""


@dataclass(frozen=True)
class BenchCommand:
    """Measure training speed, compilation time and memory on this machine."""

    env: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[ENV]")] = "bps-1"
    """Environment to train in."""
    agent_types: AgentTypes = None
    """True type of each agent as a number, such as 0 0 1: they stand in for kinds that were found;
    None: as the environment says."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Sharing methods to measure; FuPS is always among them."""
    repeats: Annotated[Count, Amount(1, 10**6)] = 15
    """Measurements of each setting, taken in turn; medians are shown."""
    out: Path | None = None
    """Write the figures into this JSON file too."""


def run(words: list[str]) -> int:
    """Measure, print a table, and write the figures to a file if one is named."""
    command = parse(BenchCommand, "bench", words)
    check_options(command)
    for method in command.methods:
        sharing_options(method)
    env = make(command.env, agent_types=command.agent_types)
    if not isinstance(env, Environment):
        raise UserError(f"adaps bench measures environments in JAX; {env.name} runs in Python")
    check_out(command.out)
    console = Terminal()
    figures = measure(env, command.methods, command.repeats, console)
    console.print(_table(figures))
    if command.out is not None:
        with refusals(command.out):
            command.out.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def check_out(out: Path | None) -> None:
    """Refuse a file that cannot be written, before minutes are spent on what is to be in it.

    Raises:
        UserError: with the reason.
    """
    if out is None:
        return
    try:
        exists, has_folder = out.exists(), out.parent.is_dir()
    except OSError as error:
        raise UserError(f"cannot write {out}: {reason(error)}") from None
    if out.is_dir():
        why = "it is a folder"
    elif not has_folder:
        why = f"{out.parent} is not a folder"
    elif not os.access(out if exists else out.parent, os.W_OK):
        why = "permission denied"
    else:
        return
    raise UserError(f"cannot write {out}: {why}")


def measure(
    env: Environment, methods: Sequence[str], repeats: int, console: Terminal
) -> dict[str, Any]:
    """Medians over ``repeats``; the methods are measured in turn in one process."""
    cores = sorted(os.sched_getaffinity(0))
    spawn = multiprocessing.get_context("spawn")
    methods = list(dict.fromkeys(("fups", *methods)))
    console.print(f"one seed on one core, {repeats} times in turn: {', '.join(methods)} …")
    first, both = ((os.sched_setaffinity, (0, cores[:n])) for n in (1, 2))
    with starting_processes(), ProcessPoolExecutor(1, spawn, *first) as pool:
        one = pool.submit(_measure_one_core, env, methods, repeats).result()
    facts = {"machine": machine(), "commit": commit(), "seeds": [0]}
    budget = f"medians of {repeats} measurements of {MEASURED_SECONDS} s"
    figures = {**facts, "budget": budget, "env": env.name, **one}
    if len(cores) > 1:
        console.print("two seeds of AdaPS on two cores …")
        with starting_processes(), ProcessPoolExecutor(1, spawn, *both) as pool:
            two = pool.submit(_measure_two_cores, env, repeats).result()
        figures["adaps_two_seeds_two_cores"] = two
    return figures


def _measure_one_core(env: Environment, methods: list[str], repeats: int) -> dict[str, Any]:
    """Each method's rate, and the median of its ratios to FuPS just before and just after it."""
    gflops = _gflops()
    stepper = Stepper(env)
    trainers = {name: _Trainer(env, name) for name in methods}
    rates: dict[str, list[float]] = {name: [] for name in methods}
    ratios: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(repeats):
        for name in methods:
            before, own, after = (
                trainers[one].steps_per_second() for one in ("fups", name, "fups")
            )
            rates[name].append(own)
            ratios[name].append(2 * own / (before + after))
    return {
        "gflops_per_core": gflops,
        "stepping": {
            "copies": stepper.num_envs,
            "steps_per_second": statistics.median(
                stepper.steps_per_second() for _ in range(repeats)
            ),
        },
        "methods": {
            name: {
                "steps_per_second": statistics.median(rates[name]),
                "over_fups": statistics.median(ratios[name]),
                "parameters": trainers[name].parameters,
                "compile_seconds": trainers[name].compile_seconds,
            }
            for name in methods
        },
        "checkpoint_seconds": _checkpoint_seconds(trainers["fups"].state, repeats),
        "peak_memory_mb": peak_memory_mb(),
    }


def _checkpoint_seconds(state: TrainState, repeats: int) -> float:
    """Median time to save all that a seed in training needs to be resumed."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Series(Path(folder), 0), None, lambda _: {}, None, complain)
        journal.update("train", state, 0)
        return statistics.median(_seconds(journal.save) for _ in range(repeats))


def _measure_two_cores(env: Environment, repeats: int) -> float:
    """Two threads, each with a seed of its own, as ``adaps train`` places them."""
    trainers = [_Trainer(env, "adaps", seed) for seed in (0, 1)]
    totals = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(repeats):
            totals.append(sum(pool.map(lambda trainer: trainer.steps_per_second(), trainers)))
    return statistics.median(totals)


class Stepper:
    """Many copies of an environment under random actions, compiled: nothing learns."""

    def __init__(self, env: Environment, num_envs: int = 1024) -> None:
        self.num_envs = num_envs
        self.state = JaxCollector(env).start(jax.random.key(0), num_envs)
        self.play = jax.jit(partial(_play_randomly, env))
        self.rewards = 0.0
        self._play(1)
        self.num_steps = max(1, round(20 * MEASURED_SECONDS / _seconds(lambda: self._play(20))))

    def steps_per_second(self) -> float:
        """Environment steps of all copies per second."""
        return self.num_steps * self.num_envs / _seconds(lambda: self._play(self.num_steps))

    def _play(self, num_steps: int) -> None:
        self.state, rewards = jax.block_until_ready(self.play(self.state, jnp.int32(num_steps)))
        self.rewards += float(rewards)


def _play_randomly(
    env: Environment, state: Position, num_steps: Int[Array, ""]
) -> tuple[Position, Float[Array, ""]]:
    """Steps with any of an agent's actions, alike likely; rewards are summed, to be of use."""
    num_envs = state.timestep.terminated.shape[0]

    def act_and_step(_, carry: tuple[Position, Array]) -> tuple[Position, Array]:
        state, total = carry
        keys = jax.random.split(state.key, 2 + num_envs)
        key, action_key = keys[0], keys[1]
        shape = (num_envs, env.num_agents)
        action = jax.random.randint(action_key, shape, 0, env.num_actions)
        env_state, timestep = step(env, keys[2:], state.env_state, action)
        new = state._replace(env_state=env_state, timestep=timestep, key=key)
        return new, total + timestep.reward.sum()

    return jax.lax.fori_loop(0, num_steps, act_and_step, (state, jnp.zeros(())))


class _Trainer:
    """One seed of one method in training, compiled; true groups stand in for discovered ones."""

    def __init__(self, env: Environment, method: str, seed: int = 0) -> None:
        config = TrainConfig(env.name, sharing_options(method), algo_options("a2c"))
        self.steps_per_update = config.steps_per_update
        self.stages = make_jax_stages(env, config)
        network = self.stages.setting.agent.network
        keys = seed_keys(jnp.array([seed], jnp.uint32))
        types = np.unique(env.agent_types or range(env.num_agents), return_inverse=True)[1]
        identity = as_identity(types, latent_size=10, seed=0)
        sharing: Sharing = config.sharing.build(keys.masks[0], network, identity)
        self.sharing = stack([sharing])
        params = initial_params(network, config.sharing, keys, [sharing])
        self.parameters = count_params(params)
        self.state: TrainState = self.stages.begin(keys, params, self.sharing)
        self.compile_seconds = _seconds(lambda: self._train(1))
        self.updates = max(1, round(100 * MEASURED_SECONDS / _seconds(lambda: self._train(100))))

    def steps_per_second(self) -> float:
        seconds = _seconds(lambda: self._train(self.updates))
        return self.updates * self.steps_per_update / seconds

    def _train(self, num_updates: int) -> None:
        self.state = self.stages.advance(self.state, self.sharing, num_updates)


def _gflops(size: int = 1024) -> float:
    """Median rate of NumPy's float32 matrix products on one core, in 10⁹ operations per second."""
    matrix = np.ones((size, size), np.float32)
    with threadpool_limits(1):
        times = [_seconds(lambda: matrix @ matrix) for _ in range(30)]
    return 2 * size**3 / statistics.median(times) / 1e9


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _table(figures: dict[str, Any]) -> Table:
    measured_on, methods = figures["machine"], figures["methods"]
    title = f"{figures['env']} on {measured_on['processor']}, {measured_on['cores']} cores"
    table = Table(
        "method, one seed on one core", "steps/s", "speed over FuPS", "parameters", title=title
    )
    for name, figure in methods.items():
        rate, ratio = f"{figure['steps_per_second']:,.0f}", f"{figure['over_fups']:.3f}"
        table.add_row(name, rate, ratio, f"{figure['parameters']:,}")
    table.add_section()
    gflops = figures["gflops_per_core"]
    if figures["env"] == "bps-1":
        for name in filter(methods.__contains__, SEPS_STEPS_PER_SECOND):
            scaled = SEPS_STEPS_PER_SECOND[name] * gflops / SEPS_GFLOPS
            times = methods[name]["steps_per_second"] / scaled
            table.add_row(f"{name} over the SePS authors' code, by GFLOP/s", f"{times:,.1f} ×")
    if (two := figures.get("adaps_two_seeds_two_cores")) is not None:
        table.add_row("adaps, two seeds on two cores", f"{two:,.0f}")
    stepping = figures["stepping"]
    copies = f"{stepping['copies']:,} copies, random actions, one core"
    table.add_row(copies, f"{stepping['steps_per_second']:,.0f}")
    table.add_row("float32 matrix products, one core", f"{gflops:,.0f} GFLOP/s")
    table.add_row("compilation of fups", f"{methods['fups']['compile_seconds']:.1f} s")
    saving = figures["checkpoint_seconds"]
    often = f"saving a checkpoint, every {PAUSE:.0f} s"
    table.add_row(often, f"{saving * 1000:,.0f} ms, {saving / PAUSE:.2%}")
    table.add_row("peak memory", f"{figures['peak_memory_mb']:,.0f} MB")
    return table
