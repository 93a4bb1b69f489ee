"""Takes what seeds report while they run: shows it, and writes it into the folder. Stage: train."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import Array, Float
from msgspec.structs import asdict

from adaps.collect.diversity import between_groups, snd
from adaps.collect.episodes import (
    Episodes,
    cut_warning,
    mean_return,
    num_cut,
    regret,
    returns_per_type,
)
from adaps.config.training import (
    TrainConfig,
    gathering_steps,
    grouping,
    needs_identification,
    num_updates,
)
from adaps.envs.agent_io import agents_of
from adaps.errors import NotFiniteError, RunError
from adaps.files import run_folder as files
from adaps.files import schema
from adaps.files.checkpoint import Series, to_arrays
from adaps.files.sinks import Sinks
from adaps.identity.clusters import rand_index
from adaps.identity.encoders import updates_of
from adaps.identity.matching import Match
from adaps.identity.samples import LARGEST
from adaps.identity.space_groups import space_groups_of
from adaps.networks.normalise import Normaliser
from adaps.sharing.mask_warnings import mask_warnings
from adaps.sharing.masks import by_part, summary
from adaps.training.checkpoint_metadata import (
    Line,
    Metadata,
    Progress,
    RunCheckpoint,
    SeedAssignments,
    Work,
)
from adaps.training.device_placement import Placement, unstack
from adaps.training.journal import Journal
from adaps.training.progress import Times, Watch
from adaps.training.resume import statement
from adaps.training.stages import NonFiniteUpdate
from adaps.types import SCHEMA, AnyEnvironment, Identity, Metrics, Rollout, Sharing

TRAIN = "train"
"""The phase whose speed is told."""
GREAT = 1e6
"""Observations and rewards beyond this are likely to be why an update is not finite."""
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
        found: dict[int, RunCheckpoint] | None = None,
    ) -> None:
        self.env, self.config, self.placement = env, config, placement
        self.folder, self.watch, self.sinks = folder, watch, sinks or Sinks()
        self._statement = statement(env, config)
        self._found: dict[int, tuple[Identity | None, Sharing]] = {}
        self._thresholds: dict[int, float | None] = {}
        self._mask_warnings: dict[int, list[str]] = {}
        self._warnings: dict[int, list[str]] = defaultdict(list)
        """Those that would not be found again, so that checkpoints hold them."""
        self._moves: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self._lines: dict[int, list[Line]] = defaultdict(list)
        self._latest: dict[int, float] = {}
        self._started = time.perf_counter()
        self._compiling = 0.0
        self._work = {seeds[0]: Work(0, 0.0) for seeds in placement.seed_groups}
        self._lock = threading.Lock()
        self._compile_lock = threading.Lock()
        self._told_of_cuts = False
        self.failure: RunError | None = None
        self._found_checkpoints = found or {}
        for checkpoint in self._found_checkpoints.values():
            self._take_up(checkpoint.metadata)
        self._announce()
        self._journals = [self._journal(seeds) for seeds in placement.seed_groups]

    @property
    def stopping(self) -> bool:
        """Whether seeds should save and return."""
        return self.watch.stop.is_set()

    @property
    def times(self) -> Times:
        """Where the time went so far."""
        steps, training = (sum(work) for work in zip(*self._work.values(), strict=True))
        side_by_side = steps * self.placement.workers
        return Times(
            compiling=self._compiling,
            wall=time.perf_counter() - self._started,
            steps_per_second=side_by_side / training if training else 0.0,
            saving=sum(journal.seconds for journal in self._journals),
        )

    def journal(self, seeds: list[int]) -> Journal:
        """What is kept of a seed group, so that another process can resume it."""
        return self._journals[self.placement.seed_groups.index(seeds)]

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

    def shared(self, seeds: list[int], shared: SeedAssignments) -> None:
        """Identities are known and the network is shared out."""
        with self._lock:
            both = zip(shared.identities, shared.sharings, strict=True)
            self._found |= dict(zip(seeds, both, strict=True))
            self._thresholds |= dict(zip(seeds, shared.thresholds, strict=True))
            self._check_masks(seeds)
            if self.folder is not None:
                self.folder.write_json(files.IDENTITY, self._identity_json())
                self.folder.write_json(files.SHARING, self._sharing_json())

    def warn(self, seed: int, text: str) -> None:
        """Take down, and say, what a seed's numbers should not be read without.

        Args:
            seed: whose.
            text: one line that begins with a short form and a colon.
        """
        text = " ".join(text.split())  # names may hold line breaks
        if text not in self._warnings[seed]:
            self._warnings[seed].append(text)
            self.watch.tell(f"seed {seed}: {text}")

    def warnings_of(self, seed: int) -> list[str]:
        """All that a seed's numbers should not be read without."""
        return [*self._warnings[seed], *self._mask_warnings.get(seed, []), *self._skipped(seed)]

    def moved(self, seeds: list[int], number: int, matches: list[Match]) -> None:
        """Agents were identified for the ``number``-th time."""
        total = 0
        with self._lock:
            for seed, found in zip(seeds, matches, strict=True):
                moved = [list(move) for move in found.moved]
                index = rand_index(self.env.agent_types, found.identity)
                kinds = len(found.identity.centres)
                self._moves[seed].append(
                    {
                        "look": number,
                        "num_clusters": kinds,
                        "adjusted_rand_index": index,
                        "moved": moved,
                    }
                )
                total += len(moved)
        self.advance(
            "identify", 0, f"identification {number}: {total} agents moved to another kind"
        )

    def resumed_at(self, phase: str, amount: int) -> None:
        """So much of a phase was done before this process began."""
        self.watch.skip(phase, amount)

    def advanced(
        self, phase: str, seeds: list[int], amount: int, seconds: float, text: str
    ) -> None:
        """A group of seeds did so much of a phase in so many seconds."""
        if phase == TRAIN:
            with self._lock:
                before = self._work[seeds[0]]
                self._work[seeds[0]] = Work(before.steps + amount, before.seconds + seconds)
                returns = list(self._latest.values())
            text = f"return {np.mean(returns):,.1f}" if returns else ""
        self.advance(phase, amount, text)

    def save(self, seeds: list[int], env_steps: int, policies: list[Any]) -> None:
        """Keep the policies as of ``env_steps``."""
        if self.folder is not None:
            for seed, policy in zip(seeds, policies, strict=True):
                policy.save(self.folder, seed, env_steps)

    def fail(self, failure: RunError) -> None:
        """One seed cannot continue: all save what they have, and stop."""
        self.failure = self.failure or failure
        self.watch.stop.set()

    def broken_identity(self, seeds: list[int], loss: Float[Array, " seed"]) -> NotFiniteError:
        """Who is alike cannot be learnt from what was gathered."""
        seed = next(
            s for s, own in zip(seeds, np.asarray(loss), strict=True) if not np.isfinite(own)
        )
        return NotFiniteError(
            f"seed {seed}: the identity encoder's loss is not finite; try a smaller "
            "--encoder.learning-rate"
        )

    def broken(self, seeds: list[int], update: NonFiniteUpdate) -> NotFiniteError:
        """An update led to what is not finite: the batch is saved, and what to do is said."""
        before, after = update.before, update.after
        fields = (before.learner.params, update.rollout, after.metrics, after.normaliser)
        each = jax.device_get(unstack(fields, len(seeds)))
        wrong = [_not_finite(metrics, normaliser) for *_, metrics, normaliser in each]
        place = next((place for place, names in enumerate(wrong) if names), 0)
        seed, (params, rollout, *_) = seeds[place], each[place]
        arrays = to_arrays({"params": params, "rollout": rollout})
        where = "" if self.folder is None else f"; see {self.folder.save_batch(seed, arrays)}"
        number = int(np.ravel(after.total_updates)[place])
        return NotFiniteError(
            f"seed {seed}: {' and '.join(wrong[place]) or 'a gradient'} not finite in update "
            f"{number:,}{where} ({self._advice(rollout)}, or --not-finite skip)"
        )

    def _advice(self, rollout: Rollout) -> str:
        """What may help after such an update, by what was learnt from."""
        for what, values, option, is_used in (
            ("observations", rollout.observation.obs, "normalise-obs", self.config.normalise_obs),
            ("rewards", rollout.reward, "scale-rewards", self.config.scale_rewards),
        ):
            by_agent = np.abs(values).max(axis=(0, 1), where=_here(rollout, values), initial=0)
            greatest = by_agent.reshape(self.env.num_agents, -1).max(axis=1)
            agent = int(greatest.argmax())  # where one is no number, it is the first such
            if not greatest[agent] <= GREAT:
                name = agents_of(self.env).names[agent]
                other = "" if is_used or not greatest[agent] < LARGEST else f" or use --{option}"
                return (
                    f"{what} of agent {name} are as great as {greatest[agent]:.1e}: scale them in "
                    f"the environment{other}"
                )
        return "a smaller --algo.learning-rate may help"

    def evaluated(
        self,
        seeds: list[int],
        env_steps: int,
        episodes: tuple[Episodes, Episodes],
        metrics: Metrics,
        distances: Float[Array, "seed agent agent"],
    ) -> None:
        """A point of the learning curve: greedy and sampled episodes, and the update's means."""
        self._tell_of_cuts(sum(map(num_cut, episodes)))
        per_seed = jax.device_get(unstack((*episodes, metrics, distances), len(seeds)))
        for seed, (greedy, sampled, means, distance) in zip(seeds, per_seed, strict=True):
            with self._lock:
                self._latest[seed] = mean_return(greedy)
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
            text = json.dumps(line)
            self._lines[seed].append(Line(env_steps, seed, text))
            if self.folder is not None:
                self.folder.append_metrics(text)
            self.sinks.log(line)

    def _tell_of_cuts(self, episodes_cut: int) -> None:
        """Say once that episodes of the learning curve were cut off, if any were."""
        with self._lock:
            if self._told_of_cuts or not episodes_cut:
                return
            self._told_of_cuts = True
        self.watch.tell(cut_warning(self.env, self.config.max_steps))

    def finish(self, result: dict[str, Any]) -> None:
        """All seeds are done: their lines in order, whichever came first; and the result."""
        if self.folder is not None:
            self.folder.write_metrics(self._texts())
            self.folder.write_json(files.RESULT, result)

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
        num_seeds = sum(map(len, self.placement.seed_groups))
        if needs_identification(self.config):
            times = num_seeds * self.config.num_identifications
            self.watch.plan("gather", "steps", times * gathering_steps(self.config))
            sizes = [len(part.agents) for part in space_groups_of(self.env)]
            updates = sum(updates_of(self.config.encoder, size) for size in sizes if size > 1)
            self.watch.plan("identify", "updates", times * updates)
        self.watch.plan("compile", "programs", len(self.placement.seed_groups))
        steps = num_updates(self.config) * self.config.steps_per_update
        self.watch.plan("train", "steps", num_seeds * steps, timed=True)
        self.watch.plan("evaluate", "seeds", num_seeds)
        if self.folder is not None:
            data = {"schema": SCHEMA, **asdict(self._statement)}
            self.folder.write_json(files.CONFIG, data)
            if self.folder.resumes:
                self.folder.write_metrics(self._texts())

    def _texts(self) -> list[str]:
        """Points of the learning curves, first by steps and then by seeds."""
        return [line.text for line in sorted(chain(*self._lines.values()))]

    def _journal(self, seeds: list[int]) -> Journal:
        series = None if self.folder is None else Series(self.folder.path, seeds[0])
        found = self._found_checkpoints.pop(seeds[0], None)
        every, tell = self.config.checkpoint_every, self.watch.tell
        return Journal(series, every, partial(self._metadata, seeds), found, tell)

    def _metadata(self, seeds: list[int], progress: Progress) -> Metadata:
        """What a checkpoint says besides its arrays."""
        return Metadata(
            **asdict(self._statement),
            seeds=seeds,
            seconds=time.perf_counter() - self._started,
            work=self._work[seeds[0]],
            lines=[line for seed in seeds for line in self._lines[seed]],
            moves=[self._moves[seed] for seed in seeds],
            progress=progress,
            warnings=[self._warnings[seed] for seed in seeds],
        )

    def _take_up(self, metadata: Metadata) -> None:
        """Resume where a checkpoint's seeds were."""
        seeds = metadata.seeds
        self._started = min(self._started, time.perf_counter() - metadata.seconds)
        self._work[seeds[0]] = metadata.work
        for line in metadata.lines:
            self._lines[line.seed].append(line)
        self._moves |= dict(zip(seeds, metadata.moves, strict=True))
        for seed, texts in zip(seeds, metadata.warnings or [[] for _ in seeds], strict=True):
            for text in texts:
                self.warn(seed, text)

    def _skipped(self, seed: int) -> Iterator[str]:
        """What is to be said of updates that were skipped, if any were."""
        last = json.loads(self._lines[seed][-1].text) if self._lines[seed] else {}
        if skipped := int(last.get("skipped_updates", 0)):
            yield (
                f"updates skipped: {skipped:,} of {num_updates(self.config):,} were not finite and "
                "had no effect; try a smaller --algo.learning-rate"
            )

    def _check_masks(self, seeds: list[int]) -> None:
        """Say what is wrong with the seeds' masks."""
        for seed in seeds:
            identity, sharing = self._found[seed]
            clusters = None if identity is None else identity.clusters
            self._mask_warnings[seed] = mask_warnings(sharing, clusters, self.config.sharing)
            for text in self._mask_warnings[seed]:
                self.watch.tell(f"seed {seed}: {text}")

    def _seeds(self) -> list[int]:
        return [seed for seeds in self.placement.seed_groups for seed in seeds]

    def _identity_json(self) -> dict[str, Any]:
        """Lists with one entry per seed; null where a seed has identified no agents."""
        found = [self._found.get(seed, (None, None))[0] for seed in self._seeds()]
        names, parts = getattr(self.env, "agent_names", None), space_groups_of(self.env)
        alike = [
            schema.SpaceGroup(space=part.space.label, agents=list(part.agents)) for part in parts
        ]
        types = self.env.agent_types
        file = schema.RunIdentity(
            schema=SCHEMA,
            seeds=self._seeds(),
            agent_names=_each(names, lambda names: list(map(str, names))),
            parts=alike if len(parts) > 1 else None,
            clusters=[_each(i, lambda i: i.clusters.tolist()) for i in found],
            num_clusters=[_each(i, lambda i: len(i.centres)) for i in found],
            adjusted_rand_index=[rand_index(types, i) for i in found],
            agent_types=_each(types, list),
            silhouette=[_each(i, _rounded_scores) for i in found],
            groups=cast(Any, grouping(self.config).groups),
            latent=[_each(i, _rounded_latent) for i in found],
            looks=[
                [schema.Identification(**look) for look in self._moves[seed]]
                for seed in self._seeds()
            ],
        )
        return schema.as_json(file)

    def _sharing_json(self) -> dict[str, Any]:
        found = [self._found.get(seed, (None, None))[1] for seed in self._seeds()]
        file = schema.RunSharing(
            schema=SCHEMA,
            seeds=self._seeds(),
            group=[_each(s, lambda s: s.param_set.tolist()) for s in found],
            threshold=[self._thresholds.get(seed) for seed in self._seeds()],
            summary=[_each(s, _summary) for s in found],
            warnings=[self._mask_warnings.get(seed) for seed in self._seeds()],
            masks=[_each(s, _kept) for s in found],
        )
        return schema.as_json(file)


def _each(value: Any, function: Any) -> Any:
    return None if value is None else function(value)


def _not_finite(metrics: dict[str, Any], normaliser: Normaliser) -> list[str]:
    """What is not, of the numbers that an update came to besides parameters."""
    wrong = [name for name, value in metrics.items() if not np.isfinite(value)]
    for what, moments in (("observations", normaliser.obs), ("rewards", normaliser.rewards)):
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(moments)):
            wrong.append(f"the running variance of {what}")
    return wrong


def _here(rollout: Rollout, values: Any) -> Any:
    """Which values are of agents that took part."""
    here = rollout.observation.here
    if here is None:
        return True
    return np.asarray(here).reshape(here.shape + (1,) * (values.ndim - here.ndim))


def _rounded_latent(identity: Identity) -> np.ndarray | None:
    return None if identity.latent is None else np.round(identity.latent, 5)


def _rounded_scores(identity: Identity) -> dict[int, float]:
    return {number: round(float(score), 5) for number, score in identity.scores.items()}


def _summary(sharing: Sharing) -> schema.OfNetworks[schema.LayerSummary]:
    shares = summary(sharing.masks)
    each = {name: [schema.LayerSummary(**s) for s in layers] for name, layers in shares.items()}  # pyright: ignore[reportArgumentType]
    return schema.OfNetworks(**each)


def _kept(sharing: Sharing) -> schema.OfNetworks[list[str]]:
    """Per layer and agent, a string of 0 and 1: which neurons it keeps."""
    rows = by_part(
        sharing.masks,
        lambda mask: ["".join("01"[int(kept)] for kept in agent) for agent in np.asarray(mask) > 0],
    )
    return schema.OfNetworks(**rows)
