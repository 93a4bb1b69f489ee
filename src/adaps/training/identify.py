"""``adaps identify``: which agents are alike, how many kinds there are, how sure. Stage: identity.

The same stages as in training: gather, encode, cluster; then the evidence for the answer.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, cast

import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array, Key

from adaps import envs
from adaps.collect.cores import cores
from adaps.collect.host import HostCollector
from adaps.collect.jax import JaxCollector, uniform
from adaps.config.choices import encoder_options
from adaps.config.training import (
    AgentTypes,
    Clusterer,
    Count,
    Criterion,
    GatherSteps,
    Hidden,
    StepTimeout,
)
from adaps.envs.agent_io import agents_of, numbered
from adaps.envs.description import described
from adaps.errors import Interrupted, UserError
from adaps.extensions import check_options, from_to
from adaps.files import compile_cache, logged
from adaps.identity import (
    autoencoder,
    cluster_agents,
    gathering,
    identity_report,
    place_agent,
    samples,
    space_groups,
)
from adaps.identity.autoencoder import CoderState
from adaps.identity.clusters import Clustering, cluster
from adaps.identity.encoders import VAE, updates_of
from adaps.identity.identity_report import GatheredTeam, IdentityFit, Settings
from adaps.identity.samples import Gathered, Samples
from adaps.identity.space_groups import SpaceGroup
from adaps.training.progress import Watch
from adaps.types import (
    STEP_TIMEOUT,
    AgentSpace,
    AnyEnvironment,
    Copies,
    Discrete,
    HostEnvironment,
    Identity,
    NetworkShape,
    action_space_of,
)

E = TypeVar("E")
T = TypeVar("T")

PIECES = 20
"""Calls that gathering and training are divided into, so that progress can be shown."""


@dataclass(frozen=True)
class IdentifyConfig(Generic[E]):
    """Find out which agents are alike, how many kinds there are, and how sure that is."""

    env: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[ENV]")] = ""
    """Environment, such as bps-1 (see: adaps list)."""
    task_seed: Count = 0
    """The environment's task seed, as of adaps train."""
    agent_types: AgentTypes = None
    """True type of each agent as a number, such as 0 0 1, for evaluation only; None: as the
    environment says."""
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
    """Environment steps under random actions; None: 25,600, or 4,000,000 where rewards are rare in
    an environment in JAX."""
    seed: Annotated[Count, from_to(0, 2**32 - 1)] = 0
    """Seed of everything that is random."""
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
        ``known`` places new agents (:meth:`adaps.identity.place_agent.Known.place`).

    Raises:
        UserError: an option is out of range, or transitions cannot be used.
        NotFiniteError: an observation or reward of the environment is not finite.
    """
    config = IdentifyConfig(
        env=env if isinstance(env, str) else "",
        transitions=None if transitions is None else Path(transitions),
        encoder=encoder_options(encoder) if isinstance(encoder, str) else encoder,
        **options,
    )
    if not isinstance(env, str) and config.task_seed:
        raise UserError("task_seed goes with an environment's name; this one has its own")
    if isinstance(env, str):
        env = envs.make(env, config.task_seed, config.agent_types)
    elif env is not None:
        env = envs.accepted(env, agent_types=config.agent_types)
    return run_identify(env, config, Watch())


def run_identify(env: AnyEnvironment | None, config: IdentifyConfig, watch: Watch) -> Identity:
    """Gather, then encode and cluster twice, with the halves of the data exchanged.

    Agents that cannot be compared are different by construction, so each space group is
    identified by itself.

    Raises:
        UserError: an option is out of range, or transitions cannot be used.
        NotFiniteError: an observation or reward of the environment is not finite.
    """
    compile_cache.enable()
    started = time.perf_counter()
    gather_key, *keys = jax.random.split(jax.random.key(config.seed), 3)
    team = _team(env, config, gather_key, watch)
    groups = team.space_groups
    sizes = [len(group.agents) for group in groups if len(group.agents) > 1]
    for phase in ("identify", "confirm"):
        updates = sum(updates_of(config.encoder, size) for size in sizes)
        watch.plan(phase, "updates", updates)
    settings = Settings(config.encoder.name, config.clusterer, config.criterion, config.seed)
    identities = [_identify_group(config, settings, team.only(g), keys, watch) for g in groups]
    identity = space_groups.join_space_groups(groups, identities, config.seed)
    findings = cast(dict[str, Any], identities[0].findings)
    if len(groups) > 1:
        of_groups = [cast(dict[str, Any], own.findings) for own in identities]
        findings = identity_report.findings_of_team(settings, team, identity, of_groups)
    findings["environment"] = None if env is None else described(env)
    findings["seconds"] = round(time.perf_counter() - started, 3)
    return identity._replace(findings=findings)


def _identify_group(
    config: IdentifyConfig,
    settings: Settings,
    team: GatheredTeam,
    keys: list[Key[Array, ""]],
    watch: Watch,
) -> Identity:
    """The clusters of a team of one space group, with the evidence for them."""
    if team.shape.num_agents == 1:
        identity = space_groups.identity_of_one_agent(config.encoder.latent_size)
        findings = identity_report.findings_of_one_agent(settings, team, identity)
        return identity._replace(findings=findings)
    own = _samples(team.gathered)
    tasks = [
        partial(_fit, config, watch, "identify", keys[0], own),
        partial(_fit, config, watch, "confirm", keys[1], samples.other_half(own)),
    ]
    fit, again = _side_by_side(tasks, watch)
    return fit.identity._replace(
        findings=identity_report.findings_of_group(settings, team, fit, again),
        known=place_agent.known(fit.coder.params.decoder, fit.samples, fit.identity),
    )


def _side_by_side(tasks: list[Callable[[], IdentityFit]], watch: Watch) -> list[IdentityFit]:
    """Each in a thread of its own; an interrupt or an error stops the others."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            return [future.result() for future in futures]
        except BaseException:
            watch.stop.set()
            raise


def _fit(
    config: IdentifyConfig, watch: Watch, phase: str, key: Key[Array, ""], own: Samples
) -> IdentityFit:
    """Train an encoder and a decoder, and cluster the agents by them."""
    options = config.encoder

    def train(state: tuple[CoderState, Array], num_updates: Array) -> tuple[CoderState, Array]:
        return _train(options, state[0], own, num_updates)

    def advance(num_updates: int, state: tuple[CoderState, Array]) -> None:
        _advance(watch, phase, num_updates, f"loss {float(state[1]):.3f}")

    watch.begin(phase)
    fresh = autoencoder.init(options, key, own), jnp.float32(0)
    coder, _ = in_pieces(train, fresh, updates_of(options, own.num_rare.shape[-1]), advance)
    codes = cluster_agents.codes_of(options, coder.params, own, coder.key)
    evidence = cluster_agents.evidence_of(codes, coder.params, own, coder.key)
    how = Clustering(config.clusterer, config.criterion, config.clusters)
    return IdentityFit(coder, own, evidence, cluster(codes, how, evidence, config.seed))


_gather = jax.jit(gathering.gather, static_argnums=(0, 1, 2))
_train = jax.jit(autoencoder.train, static_argnums=0)
_samples = jax.jit(samples.as_samples)


def in_pieces(
    take: Callable[[T, Array], T], state: T, num_steps: int, advance: Callable[[int, T], None]
) -> T:
    """Take so many steps in a few calls, each followed by ``advance(steps of it, state)``."""
    for piece in gathering.in_pieces(num_steps, PIECES):
        state = jax.block_until_ready(take(state, jnp.int32(piece)))
        advance(piece, state)
    return state


def _advance(watch: Watch, phase: str, amount: int, text: str = "") -> None:
    """Show progress, and stop if the user wants to."""
    watch.advance(phase, amount, text)
    if watch.stop.is_set():
        raise Interrupted


def _team(
    env: AnyEnvironment | None, config: IdentifyConfig, key: Key[Array, ""], watch: Watch
) -> GatheredTeam:
    """The transitions of an environment under random actions, or of a log."""
    if (env is None) == (config.transitions is None):
        raise UserError("name an environment such as bps-1, or a file with --transitions")
    check_options(config)
    if env is None:
        if config.agent_types is not None:
            raise UserError("agent_types (--agent-types) go with an environment; a log has its own")
        data = logged.read(cast(Path, config.transitions))
        _check_clusters(config.clusters, data.num_agents, 1)
        return _logged_team(data, config.hidden)
    _check_clusters(config.clusters, env.num_agents, len(space_groups.space_groups_of(env)))
    return _gathered_team(env, config, key, watch)


def _check_clusters(clusters: int | None, num_agents: int, num_space_groups: int) -> None:
    if clusters is None:
        return
    if not 1 <= clusters <= num_agents:
        raise UserError(
            f"--clusters must be from 1 to the number of agents, {num_agents}, not {clusters}"
        )
    if num_space_groups > 1:
        raise UserError(
            f"--clusters {clusters} cannot be used: the agents' spaces differ in "
            f"{num_space_groups} ways, and each group is clustered by itself; leave it out"
        )


def _gathered_team(
    env: AnyEnvironment, config: IdentifyConfig, key: Key[Array, ""], watch: Watch
) -> GatheredTeam:
    plan = gathering.plan(env, config.gather_steps or gathering.steps_needed(env))
    watch.plan("gather", "steps", plan.num_steps, timed=True)
    watch.begin("gather")

    def advance(rounds: int, _: Any = None) -> None:
        _advance(watch, "gather", rounds * plan.steps_per_round)

    if isinstance(env, HostEnvironment):
        gathered = _gathered_on_host(env, plan, key, config.step_timeout, advance)
    else:
        collector = JaxCollector(env)
        gather = partial(_gather, collector, plan, uniform(action_space_of(env)))
        begun = gathering.begin(collector, env, plan, key)
        gathered = in_pieces(gather, begun, plan.rounds, advance).gathered
    gathering.check_finite(env, gathered)
    return GatheredTeam(
        env.name,
        NetworkShape(env.num_agents, env.obs_size, action_space_of(env), tuple(config.hidden)),
        env.agent_types,
        list(agents_of(env).names),
        list(getattr(env, "obs_names", _obs_names(env.obs_size))),
        space_groups.space_groups_of(env),
        gathered,
        plan.num_steps,
    )


def _gathered_on_host(
    env: HostEnvironment,
    plan: gathering.Plan,
    key: Key[Array, ""],
    step_timeout: float,
    advance: Callable[[int], None],
) -> Gathered:
    """Round by round under random actions, in an environment that runs in Python."""
    shape = gathering.shape_of(env)
    policy = jax.jit(uniform(shape.action_space))
    add = jax.jit(gathering.accumulating(shape, plan))
    with ExitStack() as stack:

        def opened(number: int) -> Copies:
            return stack.enter_context(closing(env.open(number, cores(), step_timeout)))

        collector = HostCollector(opened)
        state = gathering.begin(collector, env, plan, key)
        for _ in range(plan.rounds):
            state = gathering.one_round(collector, add, plan, policy, state)
            advance(1)
    return state.gathered


def _logged_team(data: logged.Logged, hidden: tuple[int, ...]) -> GatheredTeam:
    num_agents, obs_size, num_actions = data.num_agents, data.obs.shape[-1], data.action.shape[-1]
    return GatheredTeam(
        data.name,
        NetworkShape(num_agents, obs_size, Discrete(num_actions), tuple(hidden)),
        data.agent_types,
        list(data.agent_names or numbered(num_agents)),
        _obs_names(obs_size),
        (SpaceGroup(tuple(range(num_agents)), AgentSpace(obs_size, num_actions, "")),),
        logged.gathered(data),
        data.num_steps,
    )


def _obs_names(obs_size: int) -> list[str]:
    return [f"observation {i}" for i in range(obs_size)]
