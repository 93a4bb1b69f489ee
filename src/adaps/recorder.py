"""Takes what seeds report while they run: shows it, and writes it into the folder. Stage: train."""

import platform
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from adaps import run_folder as files
from adaps.config import (
    TrainConfig,
    gathering_steps,
    grouping,
    looks_for_identity,
    num_updates,
    to_json,
)
from adaps.diversity import between_groups, snd
from adaps.errors import HostEnvironmentError
from adaps.evaluate import Episodes, mean_return, regret, returns_per_type
from adaps.identity.clusters import rand_index
from adaps.identity.encoders import updates_of
from adaps.identity.matching import Match
from adaps.identity.parts import parts_of
from adaps.placement import Placement, unstack
from adaps.policy import Policy
from adaps.progress import Watch
from adaps.result import Times
from adaps.sharing.mask_warnings import mask_warnings
from adaps.sharing.masks import summary
from adaps.sinks import Sinks
from adaps.types import AnyEnvironment, Identity, Metrics, Sharing

MOST_GROUPS = 16
"""Behaviour distances between more groups than this are not written down."""


class Recorder:
    """Called by the seeds' threads; holds the only state that they share."""

    def __init__(
        self,
        env: AnyEnvironment,
        config: TrainConfig,
        placement: Placement,
        folder: files.RunFolder | None,
        watch: Watch,
        sinks: Sinks | None = None,
    ) -> None:
        self.env, self.config, self.placement = env, config, placement
        self.folder, self.watch, self.sinks = folder, watch, sinks or Sinks()
        self._found: dict[int, tuple[Identity | None, Sharing]] = {}
        self._thresholds: dict[int, float | None] = {}
        self._warnings: dict[int, list[str]] = {}
        self._looks: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self._latest: dict[int, float] = {}
        self._started = time.perf_counter()
        self._compiling = self._training = 0.0
        self._steps = 0
        self._lock = threading.Lock()
        self._compile_lock = threading.Lock()
        self.failure: HostEnvironmentError | None = None
        self._announce()

    @property
    def stopping(self) -> bool:
        """Whether seeds should save and return."""
        return self.watch.stop.is_set()

    @property
    def times(self) -> Times:
        """Where the time went so far."""
        side_by_side = self._steps * self.placement.workers
        return Times(
            compiling=self._compiling,
            wall=time.perf_counter() - self._started,
            steps_per_second=side_by_side / self._training if self._training else 0.0,
        )

    def begin(self, phase: str) -> None:
        """A program has come to a phase."""
        self.watch.begin(phase)

    def advance(self, phase: str, amount: int, text: str = "") -> None:
        """More of a phase is done."""
        self.watch.advance(phase, amount, text)

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Let one seed compile while the others wait to use the same program."""
        self.begin("compile")
        with self._compile_lock:
            started = time.perf_counter()
            yield
            self._compiling += time.perf_counter() - started
        self.advance("compile", 1)

    def shared(
        self,
        seeds: list[int],
        identities: list[Identity | None],
        sharings: list[Sharing],
        thresholds: list[float | None],
    ) -> None:
        """Identities are known and the network is shared out; λ of AdaPS's masks is known too."""
        with self._lock:
            self._found |= dict(zip(seeds, zip(identities, sharings, strict=True), strict=True))
            self._thresholds |= dict(zip(seeds, thresholds, strict=True))
            self._warn(seeds)
            if self.folder is not None:
                self.folder.write_json(files.IDENTITY, self._identity_json())
                self.folder.write_json(files.SHARING, self._sharing_json())

    def moved(self, seeds: list[int], look: int, matches: list[Match]) -> None:
        """Kinds were looked for again, for the ``look``-th time."""
        total = 0
        with self._lock:
            for seed, found in zip(seeds, matches, strict=True):
                moved = [list(move) for move in found.moved]
                index = rand_index(self.env.agent_types, found.identity)
                kinds = len(found.identity.centres)
                self._looks[seed].append(
                    {
                        "look": look,
                        "num_clusters": kinds,
                        "adjusted_rand_index": index,
                        "moved": moved,
                    }
                )
                total += len(moved)
        self.advance("identify", 0, f"look {look}: {total} agents moved to another kind")

    def advanced(self, updates: int, seconds: float) -> None:
        """One program made so many updates in so many seconds."""
        steps = updates * self.config.steps_per_update * len(self.placement.programs[0])
        with self._lock:
            self._steps += steps
            self._training += seconds
            text = f"return {np.mean(list(self._latest.values())):,.1f}" if self._latest else ""
        self.advance("train", steps, text)

    def save(self, seeds: list[int], env_steps: int, policies: list[Policy]) -> None:
        """Keep the policies as of ``env_steps``."""
        if self.folder is not None:
            for seed, policy in zip(seeds, policies, strict=True):
                parts = (policy.params, policy.sharing, env_steps, policy.agents)
                self.folder.save_policy(seed, *parts)

    def fail(self, failure: HostEnvironmentError) -> None:
        """The environment failed one seed: all save what they have, and stop."""
        self.failure = failure
        self.watch.stop.set()

    def evaluated(
        self,
        seeds: list[int],
        env_steps: int,
        episodes: tuple[Episodes, Episodes],
        metrics: Metrics,
        distances: Float[Array, "seed agent agent"],
    ) -> None:
        """A point of the learning curve: greedy and sampled episodes, and the update's means."""
        per_seed = unstack(jax.device_get((*episodes, metrics, distances)), len(seeds))
        for seed, (greedy, sampled, means, distance) in zip(seeds, per_seed, strict=True):
            with self._lock:
                self._latest[seed] = mean_return(greedy)
            if self.folder is None:
                continue
            line = {
                "seed": seed,
                "env_steps": env_steps,
                "return_greedy": mean_return(greedy),
                "return_sampled": mean_return(sampled),
                "returns_per_type": returns_per_type(greedy, self.env.agent_types),
                "regret": regret(greedy),
                "seconds": round(time.perf_counter() - self._started, 3),
                **{name: float(value) for name, value in means.items()},
                **self._diversity(seed, distance),
            }
            self.folder.append_metrics(line)
            self.sinks.log(line)

    def _diversity(self, seed: int, distance: np.ndarray) -> dict[str, Any]:
        """System Neural Diversity, and the distance between kinds: those found, or the true ones.

        Of many kinds only the former: a matrix at every evaluation would fill the file.
        """
        found = self._found[seed][0]
        groups = self.env.agent_types if found is None else found.clusters
        line: dict[str, Any] = {"snd": round(snd(distance), 5)}
        if groups is not None and len(set(map(int, groups))) <= MOST_GROUPS:
            between = between_groups(distance, groups)
            line["behaviour_distance"] = np.round(between, 4).tolist()
        return line

    def _announce(self) -> None:
        """Say what is to come, and write down the configuration."""
        num_seeds = sum(map(len, self.placement.programs))
        if looks_for_identity(self.config):
            times = num_seeds * self.config.looks
            self.watch.plan("gather", "steps", times * gathering_steps(self.config))
            sizes = [len(part.agents) for part in parts_of(self.env)]
            updates = sum(updates_of(self.config.encoder, size) for size in sizes if size > 1)
            self.watch.plan("identify", "updates", times * updates)
        self.watch.plan("compile", "programs", len(self.placement.programs))
        steps = num_updates(self.config) * self.config.steps_per_update
        self.watch.plan("train", "steps", num_seeds * steps, timed=True)
        self.watch.plan("evaluate", "seeds", num_seeds)
        if self.folder is not None:
            data = {"schema": files.SCHEMA, "config": to_json(self.config), "versions": _versions()}
            self.folder.write_json(files.CONFIG, data)

    def _warn(self, seeds: list[int]) -> None:
        """Say what is wrong with the seeds' masks."""
        for seed in seeds:
            identity, sharing = self._found[seed]
            clusters = None if identity is None else identity.clusters
            self._warnings[seed] = mask_warnings(sharing, clusters, self.config.sharing)
            for text in self._warnings[seed]:
                self.watch.warn(f"seed {seed}: {text}")

    def _seeds(self) -> list[int]:
        return [seed for seeds in self.placement.programs for seed in seeds]

    def _identity_json(self) -> dict[str, Any]:
        """Lists with one entry per seed; null where a seed is not so far, or looks for no kinds."""
        found = [self._found.get(seed, (None, None))[0] for seed in self._seeds()]
        return {
            "schema": files.SCHEMA,
            "seeds": self._seeds(),
            "clusters": [_each(i, lambda i: i.clusters.tolist()) for i in found],
            "num_clusters": [_each(i, lambda i: len(i.centres)) for i in found],
            "adjusted_rand_index": [rand_index(self.env.agent_types, i) for i in found],
            "agent_types": self.env.agent_types,
            "silhouette": [_each(i, _rounded_scores) for i in found],
            "groups": grouping(self.config).groups,
            "latent": [_each(i, _rounded_latent) for i in found],
            "looks": [self._looks[seed] for seed in self._seeds()],
        }

    def _sharing_json(self) -> dict[str, Any]:
        found = [self._found.get(seed, (None, None))[1] for seed in self._seeds()]
        return {
            "schema": files.SCHEMA,
            "seeds": self._seeds(),
            "group": [_each(s, lambda s: s.group.tolist()) for s in found],
            "threshold": [self._thresholds.get(seed) for seed in self._seeds()],
            "summary": [_each(s, lambda s: summary(s.masks)) for s in found],
            "warnings": [self._warnings.get(seed) for seed in self._seeds()],
            "masks": [_each(s, _kept) for s in found],
        }


def _each(value: Any, function: Any) -> Any:
    return None if value is None else function(value)


def _rounded_latent(identity: Identity) -> list[list[float]] | None:
    return None if identity.latent is None else np.round(identity.latent, 5).tolist()


def _rounded_scores(identity: Identity) -> dict[int, float]:
    return {number: round(float(score), 5) for number, score in identity.scores.items()}


def _kept(sharing: Sharing) -> dict[str, list[list[str]]]:
    """Per layer and agent, a string of 0 and 1: which neurons it keeps."""
    return {
        name: [
            ["".join("01"[int(kept)] for kept in agent) for agent in np.asarray(layer) > 0]
            for layer in layers
        ]
        for name, layers in sharing.masks._asdict().items()
    }


def _versions() -> dict[str, str]:
    packages = ("adaps", "jax", "jaxlib", "optax", "numpy", "scikit-learn")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "device": str(jax.devices()[0].device_kind),
    }
