"""Start reading here: Adaptive Parameter Sharing, stage by stage. Stage: train.

:func:`train_seeds` is the paper's algorithm (arXiv 2312.09009). ``stages.py`` holds what each of
its steps computes, ``recorder.py`` what becomes of the results.
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from adaps import envs
from adaps.by_name import agents_of
from adaps.config import (
    TrainConfig,
    algo_options,
    check,
    clustering,
    encoder_options,
    eval_episodes,
    gathering_steps,
    grouping,
    known_identity,
    looks_for_identity,
    num_updates,
    resolved,
    run_options,
    sharing_options,
    steps_taken,
    to_json,
)
from adaps.errors import HostEnvironmentError, UserError
from adaps.evaluate import batch_episodes, first_batch, in_batches
from adaps.host import HostStages, make_host_stages
from adaps.identity import finding, gathering
from adaps.identity.autoencoder import CoderState
from adaps.identity.encoders import updates_of
from adaps.identity.groups import regroup
from adaps.identity.matching import Match, match
from adaps.identity.parts import alone, as_one, parts_of
from adaps.identity.samples import Samples
from adaps.networks import used_sets
from adaps.normalise import unscaled
from adaps.placement import Placement, cores, place, run_side_by_side, stack, unstack
from adaps.policy import Policy
from adaps.progress import Watch
from adaps.recorder import Recorder
from adaps.result import Result, SeedResult, result_json, summarise
from adaps.run_folder import RESULT, RunFolder
from adaps.sharing import AdaPS, FuPS
from adaps.sinks import check_sinks, opened
from adaps.stages import (
    SeedKeys,
    Stages,
    TrainState,
    alike_in_size,
    initial_encoder,
    initial_params,
    make_stages,
)
from adaps.types import AnyEnvironment, HostEnvironment, Identity, Params, Sharing

PIECES = 20
"""Looks at the wish to stop while gathering, and while the encoder learns."""
CALL_SECONDS = 0.4
"""Aimed-at time between two looks at the wish to stop."""


class Program(NamedTuple):
    """Seeds that run as one program, and all that stays the same meanwhile."""

    config: TrainConfig
    stages: Stages
    recorder: Recorder
    seeds: list[int]
    keys: SeedKeys


def train_seeds(
    config: TrainConfig, stages: Stages, recorder: Recorder, seeds: list[int]
) -> list[SeedResult]:
    """Gather, identify, share, train and evaluate: for seeds that run as one program.

    Returns nothing when it was stopped before the end.
    """
    num_episodes = eval_episodes(config, recorder.env)
    keys = stages.keys(jnp.asarray(seeds, jnp.uint32))
    program = Program(config, stages, recorder, seeds, keys)

    all_alike = [FuPS().build(key, stages.shape, None) for key in unstack(keys.masks, len(seeds))]
    identities = identify(program, initial_params(stages.shape, keys, all_alike), all_alike)
    if recorder.stopping:
        return []
    sharings = share_out(program, identities)
    recorder.shared(seeds, identities, sharings, thresholds(program, identities))

    sharing = stack(sharings)
    state = stages.begin(keys, initial_params(stages.shape, keys, sharings), sharing)
    with recorder.compiling():
        jax.block_until_ready(stages.advance(state, sharing, jnp.int32(0)))

    recorder.begin("train")
    done, looks = 0, 1
    for until in evaluation_points(config):
        state, done = train_until(stages, recorder, state, sharing, done, until)
        env_steps = steps_taken(config, done, looks)
        now = stages.scaled(sharing, state.normaliser)
        recorder.save(seeds, env_steps, policies_of(program, state, now))
        if recorder.stopping:
            return []
        batch = first_batch(num_episodes, batch_episodes(recorder.env))
        episodes = stages.evaluate(state.learner.params, now, batch)
        distances = stages.distances(state, now)
        recorder.evaluated(seeds, env_steps, episodes, state.mean_metrics(), distances)
        state = state.evaluated()
        if until in look_points(config):
            looks += 1
            params = state.learner.params
            identities, sharings = look_again(program, looks, params, identities, sharings)
            sharing = stack(sharings)

    recorder.begin("evaluate")
    now = stages.scaled(sharing, state.normaliser)
    play = partial(stages.evaluate, state.learner.params, now)
    final, _ = in_batches(play, num_episodes, axis=1, most=batch_episodes(recorder.env))
    recorder.advance("evaluate", len(seeds))
    policies = policies_of(program, state, now)
    each = zip(seeds, identities, policies, unstack(final, len(seeds)), strict=True)
    return [SeedResult(*one) for one in each]


def identify(program: Program, params: Params, sharings: list[Sharing]) -> list[Identity | None]:
    """Gather with the policy as it is, learn each agent's code, find out whose mean the same.

    Groups that are given, or were found before, spare all that.
    """
    config, _, recorder, seeds, _ = program
    if not looks_for_identity(config):
        return [known_identity(config, recorder.env, seed) for seed in seeds]
    samples = gather(program, params, stack(sharings))

    kinds = [find_kinds(program, of_part) for of_part in samples]
    parts = parts_of(recorder.env)
    each = zip(zip(*kinds, strict=True), seeds, strict=True)
    found = [as_one(parts, own, seed) for own, seed in each]
    groups = grouping(config).groups
    return [regroup(groups, own, seed) for own, seed in zip(found, seeds, strict=True)]


def gather(program: Program, params: Params, sharing: Sharing) -> list[Samples]:
    """Transitions of every agent, under the policy as it is unless another is wanted.

    Agents whose spaces differ are kept apart: each part of the team has samples of its own.
    """
    config, stages, recorder, seeds, keys = program
    recorder.begin("gather")
    plan = gathering.plan(recorder.env, gathering_steps(config))
    state = stages.begin_gathering(keys)
    for piece in gathering.in_pieces(plan.rounds, PIECES):
        state = stages.gather(state, params, sharing, jnp.int32(piece))
        jax.block_until_ready(state.gathered)
        recorder.advance("gather", piece * plan.steps_per_round * len(seeds))
        if recorder.stopping:
            break
    return stages.samples(state.gathered)


def find_kinds(program: Program, samples: Samples) -> list[Identity]:
    """Who is alike in one part of the team, for every seed."""
    config, _, _, seeds, _ = program
    if samples.num_rare.shape[-1] == 1:
        return [alone(config.encoder.latent_size) for _ in seeds]
    encoder = learn_codes(program, samples)
    each = zip(*(unstack(x, len(seeds)) for x in (encoder, samples)), seeds, strict=True)
    return [find_groups(config, *one) for one in each]


def learn_codes(program: Program, samples: Samples) -> CoderState:
    """An encoder of agents, and a decoder that predicts what follows for agents of any code."""
    config, stages, recorder, seeds, keys = program
    recorder.begin("identify")
    encoder = initial_encoder(config, keys, samples)
    num_updates = updates_of(config.encoder, samples.num_rare.shape[-1])
    for piece in gathering.in_pieces(num_updates, PIECES):
        if recorder.stopping:
            break
        encoder, loss = stages.train_encoder(encoder, samples, jnp.int32(piece))
        recorder.advance("identify", piece * len(seeds), f"loss {float(loss.mean()):.3f}")
    return encoder


def find_groups(config: TrainConfig, encoder: CoderState, samples: Samples, seed: int) -> Identity:
    """Clusters of one seed's codes."""
    how = clustering(config)
    return finding.find(config.encoder, how, encoder.params, samples, encoder.key, seed)


def share_out(program: Program, identities: list[Identity | None]) -> list[Sharing]:
    """Who uses which part of the network, as the sharing method decides."""
    config, stages, _, seeds, keys = program
    each = zip(unstack(keys.masks, len(seeds)), identities, strict=True)
    sharings = alike_in_size([config.sharing.build(key, stages.shape, i) for key, i in each])
    if not (config.normalise_obs or config.scale_rewards):
        return sharings
    kinds = [kinds_of(program.recorder.env, identity) for identity in identities]
    each = zip(sharings, kinds, strict=True)
    return [s._replace(scaling=unscaled(kind, stages.shape.obs_size)) for s, kind in each]


def kinds_of(env: AnyEnvironment, identity: Identity | None) -> Int[Array, " agent"]:
    """Whose observations and rewards are scaled alike: those found alike, or with alike spaces."""
    if identity is not None:
        return jnp.asarray(identity.clusters)
    kinds = {agent: k for k, part in enumerate(parts_of(env)) for agent in part.agents}
    return jnp.array([kinds[agent] for agent in range(env.num_agents)])


def thresholds(program: Program, identities: list[Identity | None]) -> list[float | None]:
    """λ of each seed's masks; None where there is none."""
    config, stages, _, seeds, keys = program
    method = config.sharing
    if not isinstance(method, AdaPS):
        return [None] * len(seeds)
    each = zip(unstack(keys.masks, len(seeds)), identities, strict=True)
    return [method.used_threshold(key, stages.shape, i) for key, i in each]


def look_again(
    program: Program,
    look: int,
    params: Params,
    identities: list[Identity | None],
    sharings: list[Sharing],
) -> tuple[list[Identity | None], list[Sharing]]:
    """Identify with the trained policy; kinds that go on keep their part of the network."""
    recorder, seeds = program.recorder, program.seeds
    fresh = program.stages.fresh_keys(program.keys, jnp.int32(look))
    found = identify(program._replace(keys=fresh), params, sharings)
    if recorder.stopping:
        return identities, sharings
    both = zip(cast(list[Identity], identities), cast(list[Identity], found), strict=True)
    matches = [match(old, new) for old, new in both]
    known: list[Identity | None] = [matched.identity for matched in matches]
    each = zip(matches, sharings, share_out(program, known), strict=True)
    sharings = [keep_parts(*one) for one in each]
    recorder.moved(seeds, look, matches)
    recorder.shared(seeds, known, sharings, thresholds(program, known))
    recorder.begin("train")
    return known, sharings


def keep_parts(matched: Match, old: Sharing, new: Sharing) -> Sharing:
    """The old masks for agents whose kind goes on, new ones for the others."""
    before = jnp.asarray(matched.predecessors)
    goes_on = before[:, None] >= 0
    return new._replace(
        masks=jax.tree.map(
            lambda was, now: jnp.where(goes_on, was[before], now), old.masks, new.masks
        )
    )


def train_until(
    stages: Stages, recorder: Recorder, state: TrainState, sharing: Sharing, done: int, until: int
) -> tuple[TrainState, int]:
    """Update up to number ``until``, in calls short enough to be interrupted between."""
    size = 1
    while done < until and not recorder.stopping:
        size = min(size, until - done)
        started = time.perf_counter()
        try:
            state = jax.block_until_ready(stages.advance(state, sharing, jnp.int32(size)))
        except HostEnvironmentError as failure:
            recorder.fail(failure)
            break
        seconds = time.perf_counter() - started
        recorder.advanced(size, seconds)
        done += size
        size = max(1, round(size * min(8.0, CALL_SECONDS / seconds)))
    return state, done


def policies_of(program: Program, state: TrainState, sharing: Sharing) -> list[Policy]:
    """The seeds' policies as they are now."""
    shape, agents = program.stages.shape, agents_of(program.recorder.env)
    num_seeds = len(sharing.group)
    each = zip(*(unstack(x, num_seeds) for x in (state.learner.params, sharing)), strict=True)
    return [Policy(used_sets(p, sharing), sharing, shape, agents) for p, sharing in each]


def evaluation_points(config: TrainConfig) -> list[int]:
    """Numbers of updates after which to evaluate, evenly spaced; the last is the end."""
    total = num_updates(config)
    num_points = min(config.evaluations, total)
    return [round(total * point / num_points) for point in range(1, num_points + 1)]


def look_points(config: TrainConfig) -> list[int]:
    """Those of them after which to look again who is alike, about evenly spaced."""
    points = evaluation_points(config)
    return [points[round(len(points) * n / config.looks) - 1] for n in range(1, config.looks)]


def train(
    env: AnyEnvironment | str,
    sharing: Any = "adaps",
    algo: Any = "a2c",
    *,
    encoder: Any = "vae",
    preset: str = "default",
    out: str | Path | None = None,
    sinks: Sequence[str] = (),
    **options: Any,
) -> Result:
    """Find out which agents are alike, give each kind its part of one network, and train them.

    Args:
        env: an environment, or the name of one (:func:`adaps.make`).
        sharing: a sharing method's name, or its options such as ``AdaPS(threshold=0.6)``.
        algo: an algorithm's name, or its options such as ``A2C(learning_rate=3e-4)``.
        encoder: an identity encoder's name, or its options such as ``VAE(updates=8_000)``.
        preset: ``"default"``, or ``"paper"`` for named methods exactly as published.
        out: folder for the run's files, which must not hold a run; None writes nothing.
        sinks: where metrics go besides the folder: ``"tensorboard"``, ``"wandb"``.
        options: any other field of :class:`adaps.config.TrainConfig`, such as ``steps``.

    Raises:
        UserError: an option that cannot be; nothing has been written.
    """
    name = env if isinstance(env, str) else env.name
    if isinstance(env, str):
        env = envs.make(env, options.pop("task_seed", 0))
    elif "task_seed" in options:
        raise UserError("task_seed goes with an environment's name; this one has its own")
    config = TrainConfig(
        env=name,
        sharing=sharing_options(sharing, preset) if isinstance(sharing, str) else sharing,
        algo=algo_options(algo, preset) if isinstance(algo, str) else algo,
        encoder=encoder_options(encoder, preset) if isinstance(encoder, str) else encoder,
        task_seed=envs.task_seed_of(env),
        **{**run_options(preset), **options},
    )
    return run(env, config, None if out is None else Path(out), Watch(), sinks=sinks)


def placement_of(env: AnyEnvironment, config: TrainConfig) -> Placement:
    """Where seeds run; those of an environment that runs in Python are never one program."""
    seeds = range(config.seed, config.seed + config.seeds)
    workers = cores() if isinstance(env, HostEnvironment) else config.workers
    return place(seeds, workers)


def stages_of(env: AnyEnvironment, config: TrainConfig, num_seeds: int) -> Stages | HostStages:
    """The compiled steps, by whether the environment is part of them."""
    if isinstance(env, HostEnvironment):
        return make_host_stages(env, config)
    return make_stages(env, config, num_seeds)


def run(
    env: AnyEnvironment,
    config: TrainConfig,
    out: Path | None,
    watch: Watch,
    stages: Stages | HostStages | None = None,
    sinks: Sequence[str] = (),
) -> Result:
    """Train every seed of a configuration, side by side, and put the results together.

    Args:
        env: the environment.
        config: what to do in it.
        out: folder for the run's files; None writes nothing.
        watch: shows how far it is, and may stop it.
        stages: those of an earlier run that differed in its seed alone, compiled already.
        sinks: where numbers go besides the folder, see :data:`adaps.sinks.SINKS`.

    Raises:
        UserError: an option that cannot be, or a folder that cannot be used.
        HostEnvironmentError: an environment that runs in Python failed; likewise.
        KeyboardInterrupt: after what was learnt so far has been saved.
    """
    check(config, env)
    check_sinks(sinks, out)
    config = resolved(config, env)
    folder = None if out is None else RunFolder(out)
    placement = placement_of(env, config)
    stages = stages or stages_of(env, config, len(placement.programs[0]))
    with opened(sinks, out, to_json(config)) as others:
        recorder = Recorder(env, config, placement, folder, watch, others)

        def work(seeds: list[int]) -> list[SeedResult]:
            with stages.opened() as own:
                return train_seeds(config, own, recorder, seeds)

        programs = run_side_by_side(placement, work, watch.stop.set)
    if recorder.failure is not None:
        raise recorder.failure
    seeds = [seed for program in programs for seed in program]

    result = summarise(env, seeds, recorder.times, out)
    if folder is not None:
        data = result_json(env, config, result, seeds[0].episodes, recorder.times)
        folder.write_json(RESULT, data)
    return result
