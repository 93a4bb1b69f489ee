"""Start reading here: Adaptive Parameter Sharing, stage by stage. Stage: train.

:func:`train_seeds` is the paper's algorithm (arXiv 2312.09009). ``stages.py`` holds what each of
its steps computes, ``driver.py`` carries out the long ones in pieces, with progress, checkpoints
and stopping; ``recorder.py`` writes what comes of it; ``run.py`` calls all this for every seed.
"""

from functools import partial
from typing import NamedTuple, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from adaps.collect.evaluate import batch_episodes, first_batch
from adaps.config.groups import known_identity, regroup
from adaps.config.training import (
    TrainConfig,
    clustering,
    eval_episodes,
    grouping,
    needs_identification,
    num_updates,
    steps_taken,
)
from adaps.envs.agent_io import agents_of
from adaps.identity import cluster_agents, gathering
from adaps.identity.advice import SURE
from adaps.identity.autoencoder import CoderState
from adaps.identity.encoders import updates_of
from adaps.identity.matching import Match, match
from adaps.identity.samples import Samples
from adaps.identity.space_groups import identity_of_one_agent, join_space_groups, space_groups_of
from adaps.networks.normalise import unscaled
from adaps.networks.weights import used_sets
from adaps.sharing import AdaPS, FuPS
from adaps.training.checkpoint_metadata import SeedAssignments
from adaps.training.device_placement import stack, unstack
from adaps.training.driver import Driver, Task
from adaps.training.policy import Policy
from adaps.training.recorder import Recorder
from adaps.training.result import SeedResult
from adaps.training.stages import (
    EncoderOptions,
    SeedKeys,
    Stages,
    TrainState,
    alike_in_size,
    fresh_keys,
    initial_encoder,
    initial_params,
    samples_of,
    scaled,
    train_encoder,
)
from adaps.types import AnyEnvironment, Identity, Network, Params, Sharing


class SeedGroup(NamedTuple):
    """Seeds that are compiled together, and all that stays the same meanwhile."""

    config: TrainConfig
    stages: Stages
    recorder: Recorder
    driver: Driver
    seeds: list[int]
    keys: SeedKeys

    @property
    def network(self) -> Network:
        return self.stages.setting.agent.network


def train_seeds(group: SeedGroup) -> list[SeedResult]:
    """Gather, identify, share, train and evaluate, from wherever an earlier process left it.

    Raises:
        Stopped: before the end; from the functions below as well.
    """
    config, stages, recorder, driver, seeds, keys = group
    journal = driver.journal
    if journal.assignments is None:
        all_alike = [FuPS().build(key, group.network, None) for key in each_key(keys, seeds)]
        params = initial_params(group.network, FuPS(), keys, all_alike)
        journal.assign(share_out(group, identify(group, params, all_alike)))
    recorder.shared(seeds, journal.known)

    sharing = stack(journal.known.sharings)
    params = initial_params(group.network, config.sharing, keys, journal.known.sharings)
    state, done = driver.restore_or(training(group, sharing), stages.begin(keys, params, sharing))
    with recorder.compiling():
        stages.advance(state, sharing, 0)

    for until in evaluation_points(config):
        if until > journal.evaluated:
            step = partial(update, stages, sharing)
            state = driver.carry_out(training(group, sharing), state, done, until, step)
            state, done = evaluate_now(group, state, sharing, until), until
        if identifications_due(config, until) > journal.num_identifications:
            matches, shared = identify_again(group, state.learner.params)
            recorder.moved(seeds, journal.num_identifications + 1, matches)
            journal.assign(shared)
            recorder.shared(seeds, journal.known)
            sharing = stack(journal.known.sharings)

    now = scaled(sharing, state.normaliser)
    play = partial(stages.evaluate, state.learner.params, now)
    most = batch_episodes(stages.env)
    final, _ = driver.play(play, eval_episodes(config, stages.env), most)
    policies = policies_of(group, state, now)
    each = zip(seeds, journal.known.identities, policies, unstack(final, len(seeds)), strict=True)
    return [SeedResult(*one) for one in each]


def identify(group: SeedGroup, params: Params, sharings: list[Sharing]) -> list[Identity | None]:
    """Gather with the policy as it is, learn each agent's code, find out whose mean the same.

    Groups that are given, or were found before, spare all that.
    """
    config, stages, _, _, seeds, _ = group
    if not needs_identification(config):
        return [known_identity(config, stages.env, seed) for seed in seeds]
    parts = space_groups_of(stages.env)
    samples = gather(group, params, stack(sharings))
    kinds = [cluster_part(group, number, of_part) for number, of_part in enumerate(samples)]
    each = zip(zip(*kinds, strict=True), seeds, strict=True)
    found = [join_space_groups(parts, own, seed) for own, seed in each]
    groups = grouping(config).groups
    return [regroup(groups, own, seed) for own, seed in zip(found, seeds, strict=True)]


def gather(group: SeedGroup, params: Params, sharing: Sharing) -> list[Samples]:
    """Transitions of every agent, under the policy as it is unless another is wanted.

    Agents that cannot be compared are kept apart: each space group has samples of its own.
    """
    _, stages, recorder, driver, seeds, keys = group
    plan, before = stages.plan, driver.journal.num_identifications
    task = Task("gather", "gather", plan.steps_per_round, partial(steps_gathered, plan, before))

    def step(state: gathering.GatherState, rounds: int) -> tuple[gathering.GatherState, str]:
        return stages.gather(state, params, sharing, rounds), ""

    state, done = driver.restore_or(task, stages.begin_gathering(keys))
    state = driver.carry_out(task, state, done, plan.rounds, step)
    names, parts = agents_of(stages.env).names, space_groups_of(stages.env)
    for seed, gathered in zip(seeds, unstack(state.gathered, len(seeds)), strict=True):
        gathering.check_finite(stages.env, gathered)
        if len(parts) < len(names):
            for text in gathering.too_little(names, gathered):
                recorder.warn(seed, text)
    return samples_of(parts, state.gathered)


def steps_gathered(plan: gathering.Plan, before: int, rounds: int) -> int:
    """Environment steps after so many identifications and rounds of the next."""
    return before * plan.num_steps + rounds * plan.steps_per_round


def cluster_part(group: SeedGroup, part: int, samples: Samples) -> list[Identity]:
    """Clusters of agents of one space group, for every seed."""
    config, seeds = group.config, group.seeds
    if samples.num_rare.shape[-1] == 1:
        return [identity_of_one_agent(config.encoder.latent_size) for _ in seeds]
    encoder = learn_codes(group, part, samples)
    each = zip(*(unstack(x, len(seeds)) for x in (encoder, samples)), seeds, strict=True)
    how, identities = clustering(config), []
    first = agents_of(group.stages.env).names[space_groups_of(group.stages.env)[part].agents[0]]
    for coder, own, seed in each:
        found = cluster_agents.find(config.encoder, how, coder.params, own, coder.key, seed)
        if found.agreeing < SURE:
            group.recorder.warn(
                seed,
                f"kinds not sure: only {found.agreeing:.0%} of resamples find "
                f"{len(found.identity.centres)} among the {samples.num_rare.shape[-1]} agents like "
                f"{first}; try more --gather-steps",
            )
        identities.append(found.identity)
    return identities


def learn_codes(group: SeedGroup, part: int, samples: Samples) -> CoderState:
    """An encoder of agents, and a decoder that predicts what follows for agents of any code."""
    config, _, recorder, driver, seeds, keys = group
    options = EncoderOptions(config.encoder)
    task = Task(f"codes-{part}", "identify", 1)

    def step(encoder: CoderState, updates: int) -> tuple[CoderState, str]:
        encoder, loss = train_encoder(options, encoder, samples, jnp.int32(updates))
        if not np.isfinite(loss).all():
            raise recorder.broken_identity(seeds, loss)
        return encoder, f"loss {float(loss.mean()):.3f}"

    encoder, done = driver.restore_or(task, initial_encoder(config, keys, samples))
    until = updates_of(config.encoder, samples.num_rare.shape[-1])
    return driver.carry_out(task, encoder, done, until, step)


def share_out(group: SeedGroup, identities: list[Identity | None]) -> SeedAssignments:
    """Who uses which part of the network, as the sharing method decides."""
    config, stages, _, _, seeds, keys = group
    each = list(zip(each_key(keys, seeds), identities, strict=True))
    sharings = alike_in_size([config.sharing.build(key, group.network, i) for key, i in each])
    if config.normalise_obs or config.scale_rewards:
        kinds = [kinds_of(stages.env, identity) for identity in identities]
        obs_size = group.network.shape.obs_size
        both = zip(sharings, kinds, strict=True)
        sharings = [s._replace(scaling=unscaled(kind, obs_size)) for s, kind in both]
    return SeedAssignments(
        identities, sharings, [threshold(config, group.network, *one) for one in each]
    )


def each_key(keys: SeedKeys, seeds: list[int]) -> list[Key[Array, ""]]:
    """What each seed's sharing is drawn with."""
    return unstack(keys.masks, len(seeds))


def kinds_of(env: AnyEnvironment, identity: Identity | None) -> Int[Array, " agent"]:
    """Whose observations and rewards are scaled alike: one cluster's, or a space group's."""
    if identity is not None:
        return jnp.asarray(identity.clusters)
    kinds = {agent: k for k, part in enumerate(space_groups_of(env)) for agent in part.agents}
    return jnp.array([kinds[agent] for agent in range(env.num_agents)])


def threshold(
    config: TrainConfig, network: Network, key: Key[Array, ""], identity: Identity | None
) -> float | None:
    """λ of a seed's masks; None where there is none."""
    method = config.sharing
    return method.used_threshold(key, network, identity) if isinstance(method, AdaPS) else None


def identify_again(group: SeedGroup, params: Params) -> tuple[list[Match], SeedAssignments]:
    """Identify with the trained policy; clusters that persist keep their part of the network."""
    journal, old = group.driver.journal, group.driver.journal.known
    fresh = fresh_keys(group.keys, jnp.int32(journal.num_identifications + 1))
    found = identify(group._replace(keys=fresh), params, old.sharings)
    both = zip(cast(list[Identity], old.identities), cast(list[Identity], found), strict=True)
    matches = [match(*each) for each in both]
    new = share_out(group, [matched.identity for matched in matches])
    each = zip(matches, old.sharings, new.sharings, strict=True)
    return matches, new._replace(sharings=[keep_parts(*one) for one in each])


def keep_parts(matched: Match, old: Sharing, new: Sharing) -> Sharing:
    """The old masks for agents whose cluster persists, new ones for the others."""
    before = jnp.asarray(matched.predecessors)
    persists = before[:, None] >= 0
    masks = {
        name: jnp.where(persists, was[before], new.masks[name]) for name, was in old.masks.items()
    }
    return new._replace(masks=masks)


def update(
    stages: Stages, sharing: Sharing, state: TrainState, updates: int
) -> tuple[TrainState, str]:
    """Collect and update so many times."""
    return stages.advance(state, sharing, updates), ""


def training(group: SeedGroup, sharing: Sharing) -> Task:
    """The updates, after which policies are saved."""
    config, identified = group.config, group.driver.journal.num_identifications

    def keep(state: TrainState, done: int) -> None:
        now = scaled(sharing, state.normaliser)
        policies = policies_of(group, state, now)
        group.recorder.save(group.seeds, steps_taken(config, done, identified), policies)

    def env_steps(done: int) -> int:
        return steps_taken(config, done, identified)

    return Task("train", "train", config.steps_per_update, env_steps, keep)


def evaluate_now(group: SeedGroup, state: TrainState, sharing: Sharing, done: int) -> TrainState:
    """A point of the learning curve after so many updates; returns the state to train on."""
    config, stages, recorder, driver, seeds, _ = group
    env_steps = steps_taken(config, done, driver.journal.num_identifications)
    now = scaled(sharing, state.normaliser)
    batch = first_batch(eval_episodes(config, stages.env), batch_episodes(stages.env))
    episodes = stages.evaluate(state.learner.params, now, batch)
    driver.stop_if_asked()  # an evaluation in Python may have been cut short
    metrics = state.mean_metrics()
    if config.not_finite == "skip":
        metrics["skipped_updates"] = state.skipped.astype(jnp.float32)
    recorder.evaluated(seeds, env_steps, episodes, metrics, stages.distances(state, now))
    state = state.evaluated()
    driver.journal.evaluated = done
    driver.journal.update("train", state, done, env_steps)
    return state


def policies_of(group: SeedGroup, state: TrainState, sharing: Sharing) -> list[Policy]:
    """The seeds' policies as they are now."""
    agent, agents = group.stages.setting.agent, agents_of(group.stages.env)
    each = zip(
        *(unstack(x, len(group.seeds)) for x in (state.learner.params, sharing)), strict=True
    )
    return [Policy(agent, used_sets(params, own), own, agents) for params, own in each]


def evaluation_points(config: TrainConfig) -> list[int]:
    """Numbers of updates after which to evaluate, evenly spaced; the last is the end."""
    total = num_updates(config)
    num_points = min(config.evaluations, total)
    return [round(total * point / num_points) for point in range(1, num_points + 1)]


def identifications_due(config: TrainConfig, updates: int) -> int:
    """How often to have identified agents after so many updates; about evenly spaced."""
    points = evaluation_points(config)
    again = [
        points[round(len(points) * n / config.num_identifications) - 1]
        for n in range(1, config.num_identifications)
    ]
    return 1 + sum(point <= updates for point in again)
