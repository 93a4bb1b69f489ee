"""Which agents are alike, how many kinds there are and how sure that is. Stage: identify.

The same stages as in training: gather, encode, cluster; then what speaks for the answer.
"""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Key
from sklearn.metrics import adjusted_rand_score

from adaps import envs
from adaps.advice import Confidence, advise
from adaps.config import Count, check_clustering, check_encoder, encoder_options
from adaps.errors import UserError
from adaps.identity import autoencoder, finding, gathering, logged, placing, samples
from adaps.identity.autoencoder import CoderState
from adaps.identity.clusters import (
    CLUSTERER_NAMES,
    CRITERIA,
    CRITERION_NAMES,
    Clustering,
    cluster,
    weigh,
)
from adaps.identity.encoders import VAE, updates_of
from adaps.identity.prediction import (
    CHANNELS,
    Evidence,
    by_channel,
    nodes_of_kinds,
    path,
    resampled,
)
from adaps.identity.samples import LARGE_TEAM, Gathered, Samples
from adaps.progress import Watch
from adaps.rollout import uniform
from adaps.run_folder import SCHEMA
from adaps.types import Environment, Identity, NetworkShape

E = TypeVar("E")

RESAMPLES = 200
MOST_AGENTS = 200
"""Teams larger than this get no agent × agent tables, fewer resamples and one criterion."""
CLOSEST_OUTPUTS = 5
"""Observation entries that are named for a pair of kinds."""
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
    clusterer: Annotated[str, tyro.conf.arg(metavar="|".join(CLUSTERER_NAMES))] = "prediction"
    """What groups the agents: what their codes predict, or a clusterer of the codes."""
    criterion: Annotated[str, tyro.conf.arg(metavar="|".join(CRITERION_NAMES))] = "prediction"
    """What chooses the number of kinds, unless --clusters does."""
    clusters: Count | None = None
    """Number of kinds, from 1 to the number of agents; None finds it."""
    gather_steps: Count | None = None
    """Environment steps under random actions; None: 25,600, or 4,000,000 where rewards are rare."""
    seed: Count = 0
    """Of everything that is drawn."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers that the advice counts parameters for."""


class Team(NamedTuple):
    """Who is looked at, and what was gathered about them."""

    name: str
    shape: NetworkShape
    agent_types: tuple[int, ...] | None
    agent_names: list[str]
    obs_names: list[str]
    gathered: Gathered
    num_steps: int


class Found(NamedTuple):
    """What one fit of encoder and decoder comes to."""

    coder: CoderState
    samples: Samples
    evidence: Evidence
    identity: Identity


def identify(
    env: Environment | str | None = None,
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


def run_identify(env: Environment | None, config: IdentifyConfig, watch: Watch) -> Identity:
    """Gather, encode and cluster twice, with the halves of the data exchanged; weigh the evidence.

    Raises:
        UserError: an option that cannot be, or transitions that cannot be used.
    """
    started = time.perf_counter()
    gather_key, first_key, second_key = jax.random.split(jax.random.key(config.seed), 3)
    team = _team(env, config, gather_key, watch)
    num_updates = updates_of(config.encoder, team.shape.num_agents)
    for name in ("identify", "confirm"):
        watch.plan(name, "updates", num_updates)
    own = jax.jit(samples.as_samples)(team.gathered)
    find = partial(_find, config, num_updates, watch)
    fits = (("identify", first_key, own), ("confirm", second_key, samples.other_half(own)))
    found, again = _side_by_side([partial(find, *fit) for fit in fits], watch)
    findings = _findings(config, team, found, again)
    findings["seconds"] = round(time.perf_counter() - started, 3)
    known = placing.known(found.coder.params.decoder, found.samples, found.identity)
    return found.identity._replace(findings=findings, known=known)


def _team(
    env: Environment | None, config: IdentifyConfig, key: Key[Array, ""], watch: Watch
) -> Team:
    if (env is None) == (config.transitions is None):
        raise UserError("name an environment such as bps-1, or a file with --transitions")
    check_encoder(config.encoder)
    check_clustering(config.clusterer, config.criterion)
    if not 0 <= config.seed < 2**32:
        raise UserError(f"--seed must be from 0 to {2**32 - 1}, not {config.seed}")
    if not config.hidden or min(config.hidden) < 1:
        raise UserError(f"--hidden must be one or more widths of at least 1, not {config.hidden}")
    if env is not None:
        _check_clusters(config.clusters, env.num_agents)
        return _gathered_team(env, config, key, watch)
    data = logged.read(cast(Path, config.transitions))
    _check_clusters(config.clusters, data.num_agents)
    return _logged_team(data, config)


def _check_clusters(clusters: int | None, num_agents: int) -> None:
    if clusters is not None and not 1 <= clusters <= num_agents:
        raise UserError(
            f"--clusters must be from 1 to the number of agents, {num_agents}, not {clusters}"
        )


def _gathered_team(
    env: Environment, config: IdentifyConfig, key: Key[Array, ""], watch: Watch
) -> Team:
    """Everybody's transitions under random actions."""
    wanted = config.gather_steps
    if wanted is not None and wanted < samples.BLOCKS:
        raise UserError(f"--gather-steps must be at least {samples.BLOCKS}, not {wanted}")
    plan = gathering.plan(env, wanted or gathering.steps_needed(env))
    watch.plan("gather", "steps", plan.num_steps, timed=True)
    watch.begin("gather")
    state = gathering.begin(env, plan, key)
    more = jax.jit(partial(gathering.gather, env, plan, uniform))
    for piece in gathering.in_pieces(plan.rounds, PIECES):
        state = jax.block_until_ready(more(state, jnp.int32(piece)))
        watch.advance("gather", piece * plan.steps_per_round)
        _stop_if_asked(watch)
    gathering.check_finite(env, state.gathered)
    shape = NetworkShape(env.num_agents, env.obs_size, env.num_actions, tuple(config.hidden))
    names = [f"agent_{i}" for i in range(env.num_agents)]
    obs_names = [f"observation {i}" for i in range(env.obs_size)]
    return Team(
        env.name,
        shape,
        env.agent_types,
        list(getattr(env, "agent_names", names)),
        list(getattr(env, "obs_names", obs_names)),
        state.gathered,
        plan.num_steps,
    )


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
    codes = finding.codes_of(config.encoder, coder.params, own, coder.key)
    evidence = finding.evidence_of(codes, coder.params, own, coder.key)
    how = Clustering(config.clusterer, config.criterion, config.clusters)
    return Found(coder, own, evidence, cluster(codes, how, evidence, config.seed))


_train = jax.jit(autoencoder.train, static_argnums=0)


def _stop_if_asked(watch: Watch) -> None:
    if watch.stop.is_set():
        raise KeyboardInterrupt


def _findings(config: IdentifyConfig, team: Team, found: Found, again: Found) -> dict[str, Any]:
    """What ``identity.json`` holds."""
    identity, clusters = found.identity, found.identity.clusters
    num_agents = team.shape.num_agents
    small = num_agents <= MOST_AGENTS
    labels = resampled(found.evidence, RESAMPLES if small else RESAMPLES // 10, config.seed)
    counts = Counter(len(set(label.tolist())) for label in labels)
    confidence = Confidence(
        {k: counts[k] / len(labels) for k in sorted(counts)},
        float(adjusted_rand_score(clusters, again.identity.clusters)),
    )
    growth = path(found.evidence)
    by_prediction = len(nodes_of_kinds(found.evidence))
    types = team.agent_types
    return {
        "schema": SCHEMA,
        "env": team.name,
        "num_agents": num_agents,
        "agent_names": team.agent_names,
        "clusters": clusters.tolist(),
        "num_clusters": len(identity.centres),
        "adjusted_rand_index": None if types is None else adjusted_rand_score(types, clusters),
        "agent_types": None if types is None else list(types),
        "encoder": config.encoder.name,
        "clusterer": config.clusterer,
        "criterion": config.criterion,
        "seed": config.seed,
        "gathered": _gathered_json(team),
        "latent": np.round(cast(np.ndarray, identity.latent), 5).tolist(),
        "centres": np.round(identity.centres, 5).tolist(),
        "advice": advise(clusters, confidence, growth, team.shape),
        "confidence": {
            "num_clusters": {str(k): share for k, share in confidence.num_clusters.items()},
            "agreement": confidence.agreement,
            "coassignment": _together(labels) if small else None,
        },
        **_criteria_json(identity.latent, by_prediction, growth, config.seed),
        "prediction": {c: {str(k): list(v) for k, v in growth[c].items()} for c in CHANNELS},
        "tree": found.evidence.linkage.round(6).tolist() if num_agents < LARGE_TEAM else None,
        **_pairs_json(found, team.obs_names),
    }


def _gathered_json(team: Team) -> dict[str, Any]:
    share = float(samples.rare_share(team.gathered))
    rare = share < samples.RARE
    counts = np.asarray(team.gathered.num_rare.sum(axis=0)).tolist()
    return {
        "env_steps": team.num_steps,
        "rows_per_agent": samples.BLOCKS * team.gathered.common.target.shape[2],
        "rare_reward_share": share if rare else None,
        "rare_rewards": counts if rare else None,
    }


def _together(labels: list[np.ndarray]) -> list[list[float]]:
    """Share of the groupings in which two agents are together."""
    return np.mean([label[:, None] == label for label in labels], axis=0).round(4).tolist()


def _criteria_json(
    codes: Any, by_prediction: int, growth: dict[str, dict[int, tuple[float, float]]], seed: int
) -> dict[str, Any]:
    total = {str(k): sum(growth[c][k][0] for c in CHANNELS) for k in growth[CHANNELS[0]]}
    values, choices = {"prediction": total}, {"prediction": by_prediction}
    if 2 < len(codes) <= MOST_AGENTS:
        for name in CRITERIA:
            scores, choices[name] = weigh(name, codes, seed)
            values[name] = {str(k): score for k, score in scores.items()}
    return {"criteria": values, "choices": choices}


def _pairs_json(found: Found, obs_names: list[str]) -> dict[str, Any]:
    """What grows in the error when agents of one kind are decoded with another's code."""
    identity = found.identity
    num_kinds, num_agents = len(identity.centres), len(identity.clusters)
    agent = np.repeat(np.arange(num_agents), num_kinds)
    code = np.tile(identity.centres, (num_agents, 1))
    coder = found.coder
    errors = finding.pair_errors(coder.params, found.samples, coder.key, agent, code).mean(axis=1)
    errors = errors.reshape(num_agents, num_kinds, -1)
    by_kind = np.stack([errors[identity.clusters == k].mean(axis=0) for k in range(num_kinds)])
    own = by_kind[np.arange(num_kinds), np.arange(num_kinds)]
    growth = by_kind - own[:, None]
    pairs = [
        _pair_json(one, other, (growth[one, other] + growth[other, one]) / 2, obs_names)
        for one in range(num_kinds)
        for other in range(one + 1, num_kinds)
    ]
    return {"pairs": pairs, "replace": growth.sum(axis=-1).round(6).tolist()}


def _pair_json(one: int, other: int, growth: np.ndarray, obs_names: list[str]) -> dict[str, Any]:
    reward, dynamics = by_channel(growth)
    greatest = np.argsort(-growth[:-1])[:CLOSEST_OUTPUTS]
    return {
        "clusters": [one, other],
        "reward": float(reward),
        "dynamics": float(dynamics),
        "observation": [[obs_names[i], float(growth[i])] for i in greatest if growth[i] > 0],
    }
