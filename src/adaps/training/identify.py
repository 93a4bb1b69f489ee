"""Which agents are alike, how many kinds there are and how sure that is. Stage: identify.

The same stages as in training: gather, encode, cluster; then what speaks for the answer.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, cast

import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array, Key

from adaps import envs
from adaps.collect.jax import uniform
from adaps.config.choices import encoder_options
from adaps.config.training import Clusterer, Count, Criterion, GatherSteps, Hidden, StepTimeout
from adaps.errors import UserError
from adaps.extensions import check_options, from_to
from adaps.files import logged
from adaps.identity import autoencoder, cluster_agents, gathering, place_agent, samples
from adaps.identity.clusters import Clustering, cluster
from adaps.identity.encoders import VAE, updates_of
from adaps.identity.identity_report import Asked, Found, Team, findings, findings_of_one, joined
from adaps.identity.samples import Gathered, Samples
from adaps.identity.space_groups import Part, alone, as_one, gathered_of, parts_of, whole
from adaps.training.host import gather_on_host
from adaps.training.progress import Watch
from adaps.types import (
    STEP_TIMEOUT,
    AnyEnvironment,
    Environment,
    HostEnvironment,
    Identity,
    NetworkShape,
)

E = TypeVar("E")

PIECES = 20


@dataclass(frozen=True)
class IdentifyConfig(Generic[E]):
    """Find out which agents are alike, how many kinds there are, and how sure that is."""

    env: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[ENV]")] = ""
    """Environment, such as bps-1 (see: adaps list)."""
    transitions: Path | None = None
    """A .npz file of logged transitions to use instead of an environment; see the docs."""
    encoder: E = field(default_factory=lambda: cast(Any, VAE()))
    """The identity encoder's options."""
    clusterer: Clusterer = "prediction"
    """What groups the agents: what their codes predict, or a clusterer of the codes."""
    criterion: Criterion = "prediction"
    """What chooses the number of kinds, unless --clusters does."""
    clusters: Count | None = None
    """Number of kinds, from 1 to the number of agents; None finds it."""
    gather_steps: GatherSteps = None
    """Environment steps under random actions; None: 25,600, or 4,000,000 where rewards are rare."""
    seed: Annotated[Count, from_to(0, 2**32 - 1)] = 0
    """Of everything that is drawn."""
    hidden: Hidden = (64, 64)
    """Widths of the hidden layers that the advice counts parameters for."""
    step_timeout: StepTimeout = STEP_TIMEOUT
    """Seconds that a step of an environment that runs in Python may take."""


def identify(
    env: AnyEnvironment | str | None = None,
    encoder: Any = "vae",
    *,
    transitions: str | Path | None = None,
    **options: Any,
) -> Identity:
    """Find out which agents are alike, before any training.

    Args:
        env: an environment, or the name of one (:func:`adaps.make`).
        encoder: an identity encoder's name, or its options such as ``VAE(updates=16_000)``.
        transitions: a file of logged transitions instead of an environment.
        options: any other field of :class:`IdentifyConfig`, such as ``clusters`` or ``seed``.

    Returns:
        Codes, clusters and centres; ``findings`` holds the evidence as ``identity.json`` does,
        ``known`` places agents that were not there.

    Raises:
        UserError: an option that cannot be, or transitions that cannot be used.
    """
    config = IdentifyConfig(
        env=env if isinstance(env, str) else "" if env is None else env.name,
        transitions=None if transitions is None else Path(transitions),
        encoder=encoder_options(encoder) if isinstance(encoder, str) else encoder,
        **options,
    )
    made = envs.make(env) if isinstance(env, str) else env
    return run_identify(made, config, Watch())


def run_identify(env: AnyEnvironment | None, config: IdentifyConfig, watch: Watch) -> Identity:
    """Gather, encode and cluster twice, with the halves of the data exchanged; weigh the evidence.

    Raises:
        UserError: an option that cannot be, or transitions that cannot be used.
    """
    started = time.perf_counter()
    gather_key, *keys = jax.random.split(jax.random.key(config.seed), 3)
    team = _team(env, config, gather_key, watch)
    parts = (whole(*team.shape[:3]),) if env is None else parts_of(env)
    teams = [_team_of(team, part) for part in parts]
    sizes = [len(part.agents) for part in parts if len(part.agents) > 1]
    for name in ("identify", "confirm"):
        updates = sum(updates_of(config.encoder, size) for size in sizes)
        watch.plan(name, "updates", updates)
    asked = Asked(config.encoder.name, config.clusterer, config.criterion, config.seed)
    answers = [_answer(config, asked, own, keys, watch) for own in teams]
    identity = as_one(parts, answers, config.seed)
    if len(parts) > 1:
        own = [cast(dict[str, Any], answer.findings) for answer in answers]
        identity = identity._replace(findings=joined(asked, team, identity, parts, own))
    cast(dict[str, Any], identity.findings)["seconds"] = round(time.perf_counter() - started, 3)
    return identity


def _answer(
    config: IdentifyConfig, asked: Asked, team: Team, keys: list[Key[Array, ""]], watch: Watch
) -> Identity:
    """Who is alike in a team whose spaces are."""
    if team.shape.num_agents == 1:
        identity = alone(config.encoder.latent_size)
        return identity._replace(findings=findings_of_one(asked, team, identity))
    own = jax.jit(samples.as_samples)(team.gathered)
    find = partial(_find, config, updates_of(config.encoder, team.shape.num_agents), watch)
    fits = (("identify", keys[0], own), ("confirm", keys[1], samples.other_half(own)))
    found, again = _side_by_side([partial(find, *fit) for fit in fits], watch)
    known = place_agent.known(found.coder.params.decoder, found.samples, found.identity)
    evidence = findings(asked, team, found, again)
    return found.identity._replace(findings=evidence, known=known)


def _team_of(team: Team, part: Part) -> Team:
    """A part of the team whose spaces are alike."""
    agents, space = part.agents, part.space
    types = team.agent_types
    return team._replace(
        shape=team.shape._replace(
            num_agents=len(agents), obs_size=space.obs_size, num_actions=space.num_actions
        ),
        agent_types=None if types is None else tuple(types[i] for i in agents),
        agent_names=[team.agent_names[i] for i in agents],
        obs_names=team.obs_names[: space.obs_size],
        gathered=gathered_of(team.gathered, part),
    )


def _team(
    env: AnyEnvironment | None, config: IdentifyConfig, key: Key[Array, ""], watch: Watch
) -> Team:
    if (env is None) == (config.transitions is None):
        raise UserError("name an environment such as bps-1, or a file with --transitions")
    check_options(config)
    if env is not None:
        _check_clusters(config.clusters, env.num_agents)
        _check_parts(config.clusters, len(parts_of(env)))
        return _gathered_team(env, config, key, watch)
    data = logged.read(cast(Path, config.transitions))
    _check_clusters(config.clusters, data.num_agents)
    return _logged_team(data, config)


def _check_parts(clusters: int | None, num_parts: int) -> None:
    if clusters is not None and num_parts > 1:
        raise UserError(
            f"--clusters {clusters} cannot be had: the agents' spaces differ in {num_parts} ways, "
            "and each is grouped by itself; leave it out"
        )


def _check_clusters(clusters: int | None, num_agents: int) -> None:
    if clusters is not None and not 1 <= clusters <= num_agents:
        raise UserError(
            f"--clusters must be from 1 to the number of agents, {num_agents}, not {clusters}"
        )


def _gathered_team(
    env: AnyEnvironment, config: IdentifyConfig, key: Key[Array, ""], watch: Watch
) -> Team:
    """Everybody's transitions under random actions."""
    plan = gathering.plan(env, config.gather_steps or gathering.steps_needed(env))
    watch.plan("gather", "steps", plan.num_steps, timed=True)
    watch.begin("gather")
    host = isinstance(env, HostEnvironment)
    pieces = (
        gather_on_host(env, plan, key, config.step_timeout) if host else _gather(env, plan, key)
    )
    gathered = gathering.nothing_yet(env, plan)
    for rounds, gathered in pieces:  # noqa: B007
        watch.advance("gather", rounds * plan.steps_per_round)
        _stop_if_asked(watch)
    gathering.check_finite(env, gathered)
    shape = NetworkShape(env.num_agents, env.obs_size, env.num_actions, tuple(config.hidden))
    names = [f"agent_{i}" for i in range(env.num_agents)]
    obs_names = [f"observation {i}" for i in range(env.obs_size)]
    return Team(
        env.name,
        shape,
        env.agent_types,
        list(getattr(env, "agent_names", names)),
        list(getattr(env, "obs_names", obs_names)),
        gathered,
        plan.num_steps,
    )


def _gather(
    env: Environment, plan: gathering.Plan, key: Key[Array, ""]
) -> Iterator[tuple[int, Gathered]]:
    """Piece by piece under random actions: how many rounds, and all that was gathered so far."""
    state = gathering.begin(env, plan, key)
    more = jax.jit(partial(gathering.gather, env, plan, uniform))
    for piece in gathering.in_pieces(plan.rounds, PIECES):
        state = jax.block_until_ready(more(state, jnp.int32(piece)))
        yield piece, state.gathered


def _logged_team(data: logged.Logged, config: IdentifyConfig) -> Team:
    num_agents, num_obs = data.num_agents, data.obs.shape[-1]
    shape = NetworkShape(num_agents, num_obs, data.action.shape[-1], tuple(config.hidden))
    return Team(
        data.name,
        shape,
        data.agent_types,
        list(data.agent_names or (f"agent_{i}" for i in range(num_agents))),
        [f"observation {i}" for i in range(num_obs)],
        logged.gathered(data),
        data.num_steps,
    )


def _side_by_side(tasks: list[Callable[[], Found]], watch: Watch) -> list[Found]:
    """Each in a thread of its own; an interrupt or an error stops the others."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            return [future.result() for future in futures]
        except BaseException:
            watch.stop.set()
            raise


def _find(
    config: IdentifyConfig,
    num_updates: int,
    watch: Watch,
    phase: str,
    key: Key[Array, ""],
    own: Samples,
) -> Found:
    """Train an encoder and a decoder, and cluster by what they learnt."""
    watch.begin(phase)
    coder = autoencoder.init(config.encoder, key, own)
    for piece in gathering.in_pieces(num_updates, PIECES):
        coder, loss = _train(config.encoder, coder, own, jnp.int32(piece))
        watch.advance(phase, piece, f"loss {float(loss):.3f}")
        _stop_if_asked(watch)
    codes = cluster_agents.codes_of(config.encoder, coder.params, own, coder.key)
    evidence = cluster_agents.evidence_of(codes, coder.params, own, coder.key)
    how = Clustering(config.clusterer, config.criterion, config.clusters)
    return Found(coder, own, evidence, cluster(codes, how, evidence, config.seed))


_train = jax.jit(autoencoder.train, static_argnums=0)


def _stop_if_asked(watch: Watch) -> None:
    if watch.stop.is_set():
        raise KeyboardInterrupt
