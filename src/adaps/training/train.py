"""Start reading here: Adaptive Parameter Sharing, stage by stage. Stage: train.

:func:`train_seeds` is the paper's algorithm (arXiv 2312.09009). ``stages.py`` holds what each of
its steps computes, ``recorder.py`` what becomes of the results, ``journal.py`` how another process
goes on; ``running.py`` calls all this for every seed.
"""

import math
import time
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from adaps.collect.evaluate import batch_episodes, first_batch, in_batches
from adaps.config.groups import known_identity, regroup
from adaps.config.training import (
    TrainConfig,
    clustering,
    eval_episodes,
    gathering_steps,
    grouping,
    looks_for_identity,
    num_updates,
    steps_taken,
)
from adaps.envs.agent_io import agents_of
from adaps.errors import HostEnvironmentError, Stopped
from adaps.files.policy import Policy
from adaps.identity import cluster_agents, gathering
from adaps.identity.autoencoder import CoderState
from adaps.identity.encoders import updates_of
from adaps.identity.matching import Match, match
from adaps.identity.samples import Samples
from adaps.identity.space_groups import alone, as_one, parts_of
from adaps.networks.mlp import used_sets
from adaps.networks.normalise import unscaled
from adaps.sharing import AdaPS, FuPS
from adaps.training.device_placement import stack, unstack
from adaps.training.journal import Journal, Shared
from adaps.training.recorder import Recorder
from adaps.training.result import SeedResult
from adaps.training.stages import (
    SeedKeys,
    Stages,
    TrainState,
    alike_in_size,
    initial_encoder,
    initial_params,
)
from adaps.types import AnyEnvironment, Identity, NetworkShape, Params, Sharing

PIECES = 20
"""Looks at the wish to stop while gathering, and while the encoder learns."""
CALL_SECONDS = 0.4
"""Aimed-at time between two looks at the wish to stop."""


class Program(NamedTuple):
    """Seeds that run as one program, and all that stays the same meanwhile."""

    config: TrainConfig
    stages: Stages
    recorder: Recorder
    journal: Journal
    """What another process would go on from; and what this one goes on from."""
    seeds: list[int]
    keys: SeedKeys


def train_seeds(
    config: TrainConfig, stages: Stages, recorder: Recorder, seeds: list[int]
) -> list[SeedResult]:
    """Gather, identify, share, train and evaluate: for seeds that run as one program.

    Returns nothing when it was stopped before the end.
    """
    keys, journal = stages.keys(jnp.asarray(seeds, jnp.uint32)), recorder.journal(seeds)
    program = Program(config, stages, recorder, journal, seeds, keys)
    try:
        with journal:
            return results_of(program)
    except Stopped:
        return []


def results_of(program: Program) -> list[SeedResult]:
    """The paper's algorithm, from wherever an earlier process left it.

    Raises:
        Stopped: before the end; from the functions below as well.
    """
    config, stages, recorder, journal, seeds, keys = program
    if journal.shared is None:
        each_key = unstack(keys.masks, len(seeds))
        all_alike = [FuPS().build(key, stages.shape, None) for key in each_key]
        identities = identify(program, initial_params(stages.shape, keys, all_alike), all_alike)
        recorder.end_if_stopping()
        journal.share(share_out(program, identities))
    recorder.shared(seeds, journal.known)

    sharing = stack(journal.known.sharings)
    params = initial_params(stages.shape, keys, journal.known.sharings)
    state, done = journal.went_on("train", stages.begin(keys, params, sharing))
    with recorder.compiling():
        jax.block_until_ready(stages.advance(state, sharing, jnp.int32(0)))

    recorder.begin("train")
    recorder.went_on("train", done * config.steps_per_update * len(seeds))
    for until in evaluation_points(config):
        if until > journal.evaluated:
            state, done = train_until(program, state, sharing, done, until)
            keep_policies(program, state, sharing, done)
            recorder.end_if_stopping()
            state = evaluate_now(program, state, sharing, done)
        if looks_due(config, until) > journal.looks:
            matches, shared = look_again(program, state.learner.params)
            recorder.moved(seeds, journal.looks + 1, matches)
            journal.share(shared)
            recorder.shared(seeds, journal.known)
            sharing = stack(journal.known.sharings)

    recorder.begin("evaluate")
    now = stages.scaled(sharing, state.normaliser)
    play = partial(stages.evaluate, state.learner.params, now)
    num_episodes = eval_episodes(config, recorder.env)
    most = batch_episodes(recorder.env)
    final, _ = in_batches(play, num_episodes, 1, most, stopping=lambda: recorder.stopping)
    recorder.end_if_stopping()
    recorder.advance("evaluate", len(seeds))
    policies = policies_of(program, state, now)
    each = zip(seeds, journal.known.identities, policies, unstack(final, len(seeds)), strict=True)
    return [SeedResult(*one) for one in each]


def identify(program: Program, params: Params, sharings: list[Sharing]) -> list[Identity | None]:
    """Gather with the policy as it is, learn each agent's code, find out whose mean the same.

    Groups that are given, or were found before, spare all that.
    """
    config, recorder, seeds = program.config, program.recorder, program.seeds
    if not looks_for_identity(config):
        return [known_identity(config, recorder.env, seed) for seed in seeds]
    samples = gather(program, params, stack(sharings))
    kinds = [find_kinds(program, number, of_part) for number, of_part in enumerate(samples)]
    parts = parts_of(recorder.env)
    each = zip(zip(*kinds, strict=True), seeds, strict=True)
    found = [as_one(parts, own, seed) for own, seed in each]
    groups = grouping(config).groups
    return [regroup(groups, own, seed) for own, seed in zip(found, seeds, strict=True)]


def gather(program: Program, params: Params, sharing: Sharing) -> list[Samples]:
    """Transitions of every agent, under the policy as it is unless another is wanted.

    Agents whose spaces differ are kept apart: each part of the team has samples of its own.
    """
    config, stages, recorder, journal, seeds, keys = program
    recorder.begin("gather")
    plan = gathering.plan(recorder.env, gathering_steps(config))
    state, done = journal.went_on("gather", stages.begin_gathering(keys))
    recorder.went_on("gather", done * plan.steps_per_round * len(seeds))
    for piece in gathering.in_pieces(plan.rounds - done, PIECES):
        recorder.end_if_stopping()
        state = stages.gather(state, params, sharing, jnp.int32(piece))
        jax.block_until_ready(state.gathered)
        done += piece
        recorder.advance("gather", piece * plan.steps_per_round * len(seeds))
        steps = journal.looks * plan.num_steps + done * plan.steps_per_round
        journal.note("gather", state, done, steps)
    for gathered in unstack(state.gathered, len(seeds)):
        gathering.check_finite(recorder.env, gathered)
    return stages.samples(state.gathered)


def find_kinds(program: Program, part: int, samples: Samples) -> list[Identity]:
    """Who is alike in one part of the team, for every seed."""
    config, seeds = program.config, program.seeds
    if samples.num_rare.shape[-1] == 1:
        return [alone(config.encoder.latent_size) for _ in seeds]
    encoder = learn_codes(program, part, samples)
    each = zip(*(unstack(x, len(seeds)) for x in (encoder, samples)), seeds, strict=True)
    return [find_groups(config, *one) for one in each]


def learn_codes(program: Program, part: int, samples: Samples) -> CoderState:
    """An encoder of agents, and a decoder that predicts what follows for agents of any code."""
    config, stages, recorder, journal, seeds, keys = program
    recorder.begin("identify")
    encoder, done = journal.went_on(f"codes-{part}", initial_encoder(config, keys, samples))
    recorder.went_on("identify", done * len(seeds))
    num_updates = updates_of(config.encoder, samples.num_rare.shape[-1])
    for piece in gathering.in_pieces(num_updates - done, PIECES):
        recorder.end_if_stopping()
        encoder, loss = stages.train_encoder(encoder, samples, jnp.int32(piece))
        if not np.isfinite(loss).all():
            raise recorder.broken_identity(seeds, loss)
        done += piece
        recorder.advance("identify", piece * len(seeds), f"loss {float(loss.mean()):.3f}")
        journal.note(f"codes-{part}", encoder, done)
    return encoder


def find_groups(config: TrainConfig, encoder: CoderState, samples: Samples, seed: int) -> Identity:
    """Clusters of one seed's codes."""
    how = clustering(config)
    return cluster_agents.find(config.encoder, how, encoder.params, samples, encoder.key, seed)


def share_out(program: Program, identities: list[Identity | None]) -> Shared:
    """Who uses which part of the network, as the sharing method decides."""
    config, stages, seeds = program.config, program.stages, program.seeds
    each = list(zip(unstack(program.keys.masks, len(seeds)), identities, strict=True))
    sharings = alike_in_size([config.sharing.build(key, stages.shape, i) for key, i in each])
    if config.normalise_obs or config.scale_rewards:
        kinds = [kinds_of(program.recorder.env, identity) for identity in identities]
        obs_size = stages.shape.obs_size
        both = zip(sharings, kinds, strict=True)
        sharings = [s._replace(scaling=unscaled(kind, obs_size)) for s, kind in both]
    return Shared(identities, sharings, [threshold(config, stages.shape, *one) for one in each])


def kinds_of(env: AnyEnvironment, identity: Identity | None) -> Int[Array, " agent"]:
    """Whose observations and rewards are scaled alike: those found alike, or with alike spaces."""
    if identity is not None:
        return jnp.asarray(identity.clusters)
    kinds = {agent: k for k, part in enumerate(parts_of(env)) for agent in part.agents}
    return jnp.array([kinds[agent] for agent in range(env.num_agents)])


def threshold(
    config: TrainConfig, shape: NetworkShape, key: Key[Array, ""], identity: Identity | None
) -> float | None:
    """λ of a seed's masks; None where there is none."""
    method = config.sharing
    return method.used_threshold(key, shape, identity) if isinstance(method, AdaPS) else None


def look_again(program: Program, params: Params) -> tuple[list[Match], Shared]:
    """Identify with the trained policy; kinds that go on keep their part of the network."""
    journal, old = program.journal, program.journal.known
    fresh = program.stages.fresh_keys(program.keys, jnp.int32(journal.looks + 1))
    found = identify(program._replace(keys=fresh), params, old.sharings)
    program.recorder.end_if_stopping()
    both = zip(cast(list[Identity], old.identities), cast(list[Identity], found), strict=True)
    matches = [match(*each) for each in both]
    new = share_out(program, [matched.identity for matched in matches])
    each = zip(matches, old.sharings, new.sharings, strict=True)
    program.recorder.begin("train")
    return matches, new._replace(sharings=[keep_parts(*one) for one in each])


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
    program: Program, state: TrainState, sharing: Sharing, done: int, until: int
) -> tuple[TrainState, int]:
    """Update up to number ``until``, in calls short enough to be interrupted between."""
    config, stages, recorder, journal, seeds, _ = program
    size = 1
    while done < until and not recorder.stopping:
        size = min(size, until - done, updates_to_checkpoint(program, done))
        started = time.perf_counter()
        try:
            new = jax.block_until_ready(stages.advance(state, sharing, jnp.int32(size)))
        except HostEnvironmentError as failure:
            recorder.fail(failure)
            break
        if not stages.is_finite(new.metrics, new.learner.params).all():
            culprit = stages.culprit(state, sharing, size)
            state, done = culprit.before, done + culprit.number
            recorder.fail(recorder.broken(seeds, culprit))
            break
        state, done = new, done + size
        seconds = time.perf_counter() - started
        recorder.advanced(seeds, size, seconds)
        journal.note("train", state, done, steps_taken(config, done, journal.looks))
        size = max(1, round(size * min(8.0, CALL_SECONDS / seconds)))
    return state, done


def updates_to_checkpoint(program: Program, done: int) -> int:
    """Updates to the next checkpoint; all that are left where time decides."""
    config, journal = program.config, program.journal
    left = journal.steps_left(steps_taken(config, done, journal.looks))
    return num_updates(config) if left is None else math.ceil(left / config.steps_per_update)


def keep_policies(program: Program, state: TrainState, sharing: Sharing, done: int) -> None:
    """Save the policies after so many updates."""
    env_steps = steps_taken(program.config, done, program.journal.looks)
    now = program.stages.scaled(sharing, state.normaliser)
    program.recorder.save(program.seeds, env_steps, policies_of(program, state, now))


def evaluate_now(program: Program, state: TrainState, sharing: Sharing, done: int) -> TrainState:
    """A point of the learning curve after so many updates; returns the state to go on with."""
    config, stages, recorder, journal, seeds, _ = program
    env_steps = steps_taken(config, done, journal.looks)
    now = stages.scaled(sharing, state.normaliser)
    batch = first_batch(eval_episodes(config, recorder.env), batch_episodes(recorder.env))
    episodes = stages.evaluate(state.learner.params, now, batch)
    recorder.end_if_stopping()  # an evaluation in Python may have been cut short
    metrics = state.mean_metrics()
    if config.not_finite == "skip":
        metrics["skipped_updates"] = state.skipped.astype(jnp.float32)
    recorder.evaluated(seeds, env_steps, episodes, metrics, stages.distances(state, now))
    state = state.evaluated()
    journal.evaluated = done
    journal.note("train", state, done, env_steps)
    return state


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


def looks_due(config: TrainConfig, updates: int) -> int:
    """How often to have looked who is alike after so many updates; about evenly spaced."""
    points = evaluation_points(config)
    again = [points[round(len(points) * n / config.looks) - 1] for n in range(1, config.looks)]
    return 1 + sum(point <= updates for point in again)
