"""What a configuration may be in an environment, and what it leaves open. Stage: settings."""

import dataclasses

import jax

from adaps.config.groups import FOUND, given_groups, known_identity
from adaps.config.training import (
    TrainConfig,
    eval_episodes,
    grouping,
    needs_identification,
    network_of,
)
from adaps.errors import UserError
from adaps.extensions import Range, check_options, from_to
from adaps.identity import gathering
from adaps.identity.space_groups import space_groups_of
from adaps.sharing import AdaPS, Grouped
from adaps.types import AnyEnvironment, HostEnvironment

LEAST_GATHERING = 3_200
"""Environment steps that are gathered even in a short run, unless it is told how many."""


def check(config: TrainConfig, env: AnyEnvironment) -> None:
    """Refuse what cannot be trained, before anything is written.

    Raises:
        UserError: one line that names the option, its value and what is allowed.
    """
    if jax.config.values["jax_enable_x64"]:
        raise UserError("JAX_ENABLE_X64 is on, but all is computed in 32 bits here: leave it off")
    check_options(config)
    from_to(0, 2**32 - config.seeds).check("--seed", config.seed)
    least = 0 if isinstance(env, HostEnvironment) else 1
    Range(least, says=f"at least {least}").check("--workers", config.workers)
    _check_parts(config, env)
    _check_threshold(config)
    _check_groups(grouping(config), env)
    _check_identity(config, env)
    _check_num_identifications(config)
    least = config.steps_per_update + _least_gathering(config, env)
    if config.steps < least:
        raise UserError(
            f"--steps {config.steps} is fewer than one rollout: {config.num_envs} copies × "
            f"{config.rollout_length} steps and gathering need at least {least}"
        )
    if not needs_identification(config):
        # What the method refuses, it refuses now.
        known = known_identity(config, env, config.seed)
        config.sharing.build(jax.random.key(0), network_of(env, config), known)


def resolved(config: TrainConfig, env: AnyEnvironment) -> TrainConfig:
    """The configuration with what is left to choose chosen: how long to gather, in whole rounds."""
    config = dataclasses.replace(config, eval_episodes=eval_episodes(config, env))
    if not needs_identification(config):
        return config
    wanted = config.gather_steps
    if wanted is None:
        most = max(
            LEAST_GATHERING,
            round(gathering.TRAIN_SHARE * config.steps / config.num_identifications),
        )
        wanted = min(gathering.steps_needed(env), most)
    return dataclasses.replace(config, gather_steps=gathering.plan(env, wanted).num_steps)


def _check_parts(config: TrainConfig, env: AnyEnvironment) -> None:
    """A number of groups says nothing where parts of the team are grouped apart."""
    clusters, num_parts = grouping(config).clusters, len(space_groups_of(env))
    if clusters is not None and num_parts > 1 and needs_identification(config):
        raise UserError(
            f"--sharing.clusters {clusters} cannot be had in {env.name}: its agents' spaces differ "
            f"in {num_parts} ways, and each is grouped by itself; leave it out, or give the groups "
            "with --sharing.groups"
        )


def _check_num_identifications(config: TrainConfig) -> None:
    if config.num_identifications == 1:
        return
    from_to(1, config.evaluations).check("--num-identifications", config.num_identifications)
    finds_kinds = needs_identification(config) and grouping(config).groups == "discovered"
    if not (finds_kinds and isinstance(config.sharing, AdaPS)):
        raise UserError(
            f"--num-identifications {config.num_identifications} goes with --sharing adaps whose "
            "kinds are discovered: only then can agents change their part of the network while it "
            "trains"
        )


def _check_identity(config: TrainConfig, env: AnyEnvironment) -> None:
    if config.identity is None:
        return
    if not isinstance(config.sharing, Grouped):
        raise UserError(f"--identity is of no use to {config.sharing.name}, which has no groups")
    if config.sharing.clusters is not None or config.sharing.groups not in FOUND:
        raise UserError(
            "--identity says who belongs together; leave out --sharing.clusters and "
            "--sharing.groups"
        )
    known_identity(config, env, config.seed)


def _check_groups(how: Grouped, env: AnyEnvironment) -> None:
    if how.clusters is None:
        given_groups(how.groups, env)
    elif how.groups not in FOUND:
        raise UserError(
            f"--sharing.clusters {how.clusters} cannot be had with --sharing.groups "
            f"{how.groups}, which says how many there are"
        )
    elif not 1 <= how.clusters <= env.num_agents:
        raise UserError(
            f"--sharing.clusters must be from 1 to the number of agents, {env.num_agents} "
            f"in {env.name}, not {how.clusters}"
        )


def _check_threshold(config: TrainConfig) -> None:
    sharing = config.sharing
    if isinstance(sharing, AdaPS) and sharing.keep is not None and sharing.overlap is not None:
        raise UserError(
            f"--sharing.keep {sharing.keep} and --sharing.overlap {sharing.overlap} each choose "
            "the threshold: give one of them"
        )


def _least_gathering(config: TrainConfig, env: AnyEnvironment) -> int:
    if not needs_identification(config):
        return 0
    return (
        config.num_identifications
        * gathering.plan(env, config.gather_steps or LEAST_GATHERING).num_steps
    )
