"""Groups that a user gives, or that are dealt out wrongly on purpose. Stage: identity."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from adaps.config.training import TrainConfig, grouping
from adaps.envs.agent_io import Agents, agents_of, numbered
from adaps.envs.description import order_of, refuse_another, shortened, with_agents_of
from adaps.errors import UserError
from adaps.files.plain_files import read_json
from adaps.types import AnyEnvironment, Identity

Grouping = Any
"""``discovered``, ``oracle``, ``shuffled``, a file's name, or the groups themselves."""
FOUND = ("discovered", "shuffled")
"""What has to be found out first."""

SHUFFLES = 100
"""Ways of dealing out that are tried, to find one that is no better than chance."""


def given_groups(groups: Grouping, env: AnyEnvironment) -> Int[np.ndarray, " agent"] | None:
    """Each agent's group where it is given, numbered from 0; None where it has to be found out.

    Args:
        groups: ``"oracle"`` for the true types; a JSON file's name; a group number for each
            agent, such as ``[0, 0, 1]``; or each group's agents by number or name, such as
            ``[[0, 1], [2]]`` or ``[["red", "green"], ["blue"]]``.
        env: says who the agents are, and the true types.

    Raises:
        UserError: no true types are known, the file cannot be read, or the groups do not cover
            every agent once.
    """
    if groups in FOUND:
        return None
    if groups == "oracle":
        if env.agent_types is None:
            raise UserError(
                f"--sharing.groups oracle needs true types, and {env.name} knows none; "
                "name a file with the groups"
            )
        return np.unique(env.agent_types, return_inverse=True)[1]
    if isinstance(groups, str):
        data = _read(
            Path(groups), "--sharing.groups", "'discovered', 'oracle', 'shuffled' or a JSON file"
        )
        return _checked(data, agents_of(env).names, f"groups in {groups}")
    return _checked(groups, agents_of(env).names, "groups")


def as_identity(groups: Int[np.ndarray, " agent"], latent_size: int, seed: int) -> Identity:
    """Given groups as an identity; a random code stands for each group's centre."""
    num_groups = int(groups.max()) + 1
    centres = np.random.default_rng([seed, num_groups]).normal(size=(num_groups, latent_size))
    return Identity(None, groups, centres, {})


def known_identity(config: TrainConfig, env: AnyEnvironment, seed: int) -> Identity | None:
    """What a seed need not find out: groups that are given, or found before; None otherwise.

    Raises:
        UserError: a file that cannot be used.
    """
    if config.identity is not None:
        found = saved_identity(Path(config.identity), env)
        return regroup(grouping(config).groups, found, seed)
    groups = given_groups(grouping(config).groups, env)
    if groups is None:
        return None
    return as_identity(groups, config.encoder.latent_size, seed)


def saved_identity(path: Path, env: AnyEnvironment) -> Identity:
    """What ``adaps identify`` wrote into an ``identity.json``, for the agents in ``env``'s order.

    Raises:
        UserError: it cannot be read, holds something else, or is of another environment.
    """
    data = _read(path, "--identity", "an identity.json of adaps identify")
    try:
        order = _order_in(data, env, f"--identity {path}")
        groups = _checked(data["clusters"], agents_of(env).names, f"clusters in {path}")[order]
        latent = np.array(data["latent"], np.float64)[order]
        centres = np.array(data["centres"], np.float64)
    except UserError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no identity.json of adaps identify: {error}") from None
    fits = latent.ndim == 2 and len(latent) == env.num_agents
    if not fits or centres.shape != (groups.max() + 1, latent.shape[-1]):
        raise UserError(
            f"{path} does not fit together: {env.num_agents} agents in {groups.max() + 1} kinds, "
            f"codes of shape {latent.shape}, centres of shape {centres.shape}"
        )
    if not (np.isfinite(latent).all() and np.isfinite(centres).all()):
        raise UserError(f"{path} holds a code or centre that is not finite")
    return Identity(latent, groups, centres, {})


def _order_in(data: Any, env: AnyEnvironment, whose: str) -> list[int]:
    """Where each of an environment's agents stands in an ``identity.json``.

    Raises:
        UserError: that is of other agents, or of another environment.
        AttributeError, KeyError, TypeError, ValueError: it is something else.
    """
    own, environment = agents_of(env), data.get("environment") or {}
    if environment.get("agents") is None:
        names = tuple(data.get("agent_names") or numbered(len(data["clusters"])))
        # Where names were not known, agents have their numbers.
        saved = Agents(own.names if names == numbered(env.num_agents) else names, ())
    else:
        saved = Agents.from_data(environment["agents"])
    there = with_agents_of(env, saved, whose)
    refuse_another(there, environment, whose, "identify its agents, or give --sharing.groups")
    return order_of(saved.names, own.names) or list(range(env.num_agents))


def regroup(groups: Grouping, identity: Identity, seed: int) -> Identity:
    """The clusters as they were found; for ``shuffled``, with the members dealt out wrongly.

    Sizes and centres stay. Of random ways to deal, the first whose adjusted Rand index with the
    clusters found is not above zero is taken, or else the lowest.
    """
    if groups != "shuffled":
        return identity
    rng = np.random.default_rng([seed, len(identity.clusters)])
    ways = (rng.permutation(identity.clusters) for _ in range(SHUFFLES))
    return identity._replace(clusters=_least_alike(identity.clusters, ways))


def _least_alike(clusters: np.ndarray, ways: Any) -> np.ndarray:
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415

    best, lowest = clusters, np.inf
    for way in ways:
        agreement = adjusted_rand_score(clusters, way)
        if agreement < lowest:
            best, lowest = way, agreement
        if lowest <= 0:
            break
    return best


def _read(path: Path, flag: str, wanted: str) -> Any:
    try:
        return read_json(path)
    except OSError as error:
        raise UserError(f"{flag} {path} cannot be read: {error.strerror}; it is {wanted}") from None
    except ValueError as error:
        raise UserError(f"{flag} {path}: not JSON: {error}") from None


def _checked(data: Any, names: Sequence[str], where: str) -> Int[np.ndarray, " agent"]:
    """Either form of groups → one number per agent."""
    if not isinstance(data, (list, tuple)) or len(data) == 0:
        raise UserError(
            f"{where}: a list is needed, of each agent's group such as [0, 0, 1], or of each "
            "group's agents such as [[0, 1], [2]]"
        )
    if all(isinstance(group, (list, tuple)) for group in data):
        return _from_members(data, names, where)
    return _from_labels(data, len(names), where)


def _from_members(data: Any, names: Sequence[str], where: str) -> np.ndarray:
    groups = np.full(len(names), -1)
    for number, members in enumerate(data):
        if not members:
            raise UserError(f"{where}: group {number} is empty")
        for member in members:
            agent = _number_of(member, names, f"{where}: group {number}: agent")
            if groups[agent] >= 0:
                raise UserError(
                    f"{where}: agent {member} is in groups {groups[agent]} and {number}"
                )
            groups[agent] = number
    if missing := np.flatnonzero(groups < 0).tolist():
        raise UserError(f"{where}: agents {missing} are in no group")
    return groups


def _number_of(member: Any, names: Sequence[str], what: str) -> int:
    """An agent's number, by that or by its name."""
    if isinstance(member, str):
        if member not in names:
            known = shortened(", ".join(names))
            raise UserError(f"{what} '{member}' is not in the environment; it has {known}")
        return names.index(member)
    _whole_number(member, len(names) - 1, what)
    return member


def _from_labels(data: Any, num_agents: int, where: str) -> np.ndarray:
    if len(data) != num_agents:
        raise UserError(f"{where}: {len(data)} numbers for {num_agents} agents")
    for agent, group in enumerate(data):
        _whole_number(group, num_agents - 1, f"{where}: agent {agent}: group")
    groups = np.asarray(data)
    if empty := sorted(set(range(groups.max() + 1)) - set(groups.tolist())):
        raise UserError(f"{where}: groups {empty} are empty; number them from 0 without gaps")
    return groups


def _whole_number(value: Any, highest: int, what: str) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise UserError(f"{what} {value!r} is not a whole number")
    if not 0 <= value <= highest:
        raise UserError(f"{what} {value} is out of range: from 0 to {highest}")
