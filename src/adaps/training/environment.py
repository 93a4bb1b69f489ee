"""The environment of a saved run: made again by its name, and compared with it. Stage: train."""

from pathlib import Path
from typing import TypeVar

from adaps.config.saved import SavedEnv, saved_agents, saved_env, saved_environment, source_of
from adaps.envs.agent_io import agents_of
from adaps.envs.code import check_env_code
from adaps.envs.description import (
    described,
    in_order_of,
    refuse_another,
    unlike,
    with_agents_of,
)
from adaps.envs.registry import accepted, can_be_named, make, task_seed_of
from adaps.errors import UserError
from adaps.files.run_folder import CONFIG
from adaps.training.policy import Policy
from adaps.types import AnyEnvironment, action_space_of

E = TypeVar("E", bound=AnyEnvironment)

IN_PYTHON = (
    "give the environment in Python: adaps.evaluate(folder, env), or adaps.train(env, …, "
    "out=folder, resume=True)"
)
AS_IT_WAS = "make it as it was, or say --allow-changes"


def made_again(config: Path, wanted: SavedEnv | None = None) -> AnyEnvironment:
    """The environment of a ``config.json``, with its options, and its agents in their order there.

    Args:
        config: the file.
        wanted: the name, task seed and types that are wanted, if not those in the file.

    Raises:
        UserError: the file cannot be read, or what it says does not make an environment.
    """
    own = saved_env(config)
    wanted = wanted or own
    if wanted.env != own.env:
        return make(wanted.env, wanted.task_seed, wanted.agent_types)
    saved = saved_environment(config)
    if lost := saved.get("made_with", {}).get("lost"):
        raise UserError(f"{config}: the environment's option '{lost[0]}' is not saved; {IN_PYTHON}")
    if saved and not can_be_named(wanted.env):
        raise UserError(f"{config}: no environment is made by the name '{wanted.env}'; {IN_PYTHON}")
    check_env_code(wanted.env, source_of(config))
    env, agents = make(wanted.env, wanted.task_seed), saved_agents(saved, config)
    env = env if agents is None else in_order_of(env, agents.names)
    # Types were given in the order that agents had.
    return accepted(env, agent_types=wanted.agent_types)


def why_not_again(env: AnyEnvironment) -> str | None:
    """Why its name and its options do not make an environment again; None where they do."""
    now = described(env)
    if lost := now.get("made_with", {}).get("lost"):
        return f"its option '{lost[0]}' cannot be saved"
    try:
        again = make(env.name, task_seed_of(env))
        same = not unlike(now, in_order_of(again, agents_of(env).names))
    except UserError:
        same = False
    if same and can_be_named(env.name):
        return None
    return f"'{env.name}' is no name that it is made by"


def for_policy(env: E, policy: Policy, folder: Path, allow_changes: bool = False) -> E:
    """The environment that a run's policy is for, with its agents in the policy's order.

    Args:
        env: as it is now.
        policy: of the run.
        folder: the run's.
        allow_changes: whether another environment is meant, in which the agents see and do the
            same.

    Raises:
        UserError: it is another than the run's; with what differs, in one line.
    """
    whose = f"the policy in {folder}"
    env = with_agents_of(env, policy.agents, whose)
    if (space := action_space_of(env)) != policy.shape.action_space:
        raise UserError(
            f"{whose} is for actions {policy.shape.action_space}, but {env.name} has {space}"
        )
    if not allow_changes and (folder / CONFIG).exists():
        refuse_another(env, saved_environment(folder / CONFIG), str(folder), AS_IT_WAS)
    return env
