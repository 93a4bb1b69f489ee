"""What a run's checkpoints hold: one schema for writer and reader. Stage: train.

A manifest may have been written by someone who means harm, with the right hash of itself: what a
run takes from it is checked here, once, before any of it is used.
"""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from adaps.files.checkpoint import Checkpoint, Count, DamagedError, to_arrays
from adaps.files.sharing_arrays import sharing_from_arrays
from adaps.training.device_placement import stack, unstack
from adaps.types import Identity, Sharing

Amount = Annotated[float, msgspec.Meta(ge=0, lt=2**48)]
Arrays = dict[str, np.ndarray]

SHARINGS = "sharings"
"""Name of the part that holds those of all seeds."""


class SeedAssignments(NamedTuple):
    """Identities and who uses which part of the network; lists with an entry for each seed."""

    identities: list[Identity | None]
    sharings: list[Sharing]
    thresholds: list[float | None]
    """λ of each seed's masks; None where there is none."""


class Line(NamedTuple):
    """A line of the metrics; they are in order as they are sorted."""

    env_steps: Count
    seed: Count
    text: str


class Work(NamedTuple):
    """Environment steps of training, and the seconds that they took."""

    steps: Count
    seconds: Amount


class Configured(msgspec.Struct, kw_only=True):
    """A run's settings."""

    config: dict[str, Any]


class Statement(Configured, kw_only=True):
    """What a run is: its settings, versions and environment, as in ``config.json``."""

    versions: dict[str, Any]
    environment: dict[str, Any]
    arithmetic: dict[str, Any]
    """What the last bits of all numbers depend on besides, see :func:`provenance.arithmetic`."""


class SavedIdentity(msgspec.Struct):
    """An :class:`adaps.types.Identity` as JSON has it."""

    latent: list[list[float]] | None
    clusters: list[Count]
    centres: list[list[float]]
    scores: list[tuple[Count, float]]


class Progress(msgspec.Struct):
    """How far a seed group is."""

    counts: dict[str, Count]
    """How far each part of a checkpoint is, in its own unit."""
    evaluated: Count
    """Updates that had been made at the last point of the learning curve."""
    looks: Count
    """How often agents were identified."""
    identities: list[SavedIdentity | None]
    """Of each seed, once that was found out."""
    thresholds: list[Amount | None]
    """Likewise."""


class Metadata(Statement, kw_only=True):
    """What a checkpoint says besides its arrays."""

    seeds: Annotated[list[Count], msgspec.Meta(min_length=1)]
    seconds: Amount
    """Since the run began."""
    work: Work
    lines: list[Line]
    """Points of the learning curves."""
    moves: list[list[dict[str, Any]]]
    """What each identification after the first changed, for each seed; read by people alone."""
    progress: Progress
    warnings: list[list[str]] = msgspec.field(default_factory=list)
    """Of each seed's result, those that would not be found again; none at all in old files."""


class RunCheckpoint(NamedTuple):
    """A checkpoint of a run, checked and understood."""

    path: Path
    parts: dict[str, Arrays]
    """Arrays of all that was under way."""
    metadata: Metadata
    assignments: SeedAssignments | None
    """None where it was not known yet who is alike."""


def decoded(checkpoint: Checkpoint) -> RunCheckpoint:
    """A checkpoint as a run's.

    Raises:
        DamagedError: no run would have saved it; with the first thing that is wrong.
    """
    parts = dict(checkpoint.parts)
    arrays = parts.pop(SHARINGS, {})
    try:
        metadata = msgspec.convert(checkpoint.metadata, Metadata)
        _check(metadata, parts)
    except (msgspec.ValidationError, ValueError) as error:
        raise DamagedError(f"its metadata is not a run's: {error}") from None
    try:
        assignments = _assignments(metadata, arrays) if metadata.progress.looks else None
    except (LookupError, TypeError, ValueError) as error:
        raise DamagedError(f"who uses which part of the network is not there: {error!r}") from None
    return RunCheckpoint(checkpoint.path, parts, metadata, assignments)


def arrays_of(sharings: list[Sharing]) -> Arrays:
    """All seeds' sharings as arrays by name, with a leading axis for the seed."""
    return to_arrays(stack(sharings))


def saved(identity: Identity | None) -> SavedIdentity | None:
    """An identity as it is saved."""
    if identity is None:
        return None
    latent, clusters, centres, scores = identity[:4]
    lists = None if latent is None else latent.tolist()
    return SavedIdentity(lists, clusters.tolist(), centres.tolist(), list(scores.items()))


def restored(identity: SavedIdentity | None) -> Identity | None:
    """The inverse of :func:`saved`."""
    if identity is None:
        return None
    latent = None if identity.latent is None else np.array(identity.latent, float)
    clusters, centres = np.array(identity.clusters, int), np.array(identity.centres, float)
    return Identity(latent, clusters, centres, dict(identity.scores))


def _assignments(metadata: Metadata, arrays: Arrays) -> SeedAssignments:
    progress, num_seeds = metadata.progress, len(metadata.seeds)
    if any(array.shape[:1] != (num_seeds,) for array in arrays.values()):
        raise ValueError("it is of another number of seeds")
    sharings = unstack(sharing_from_arrays(arrays), num_seeds)
    identities = [restored(identity) for identity in progress.identities]
    return SeedAssignments(identities, sharings, list(progress.thresholds))


def _check(metadata: Metadata, parts: dict[str, Arrays]) -> None:
    """Raises ``ValueError`` where what a checkpoint says does not agree with itself."""
    seeds, progress = metadata.seeds, metadata.progress
    num_assigned = len(seeds) if progress.looks else 0
    lengths = {
        "moves": len(metadata.moves) == len(seeds),
        "warnings": len(metadata.warnings) in (0, len(seeds))
        and all(len(text.splitlines()) == 1 for own in metadata.warnings for text in own),
    }
    lengths |= {n: len(getattr(progress, n)) == num_assigned for n in ("identities", "thresholds")}
    most = metadata.config.get("num_identifications", 1)
    right = {
        **{f"the count of {name}": name in progress.counts for name in parts},
        "lines": all(line.seed in seeds and _is_object(line.text) for line in metadata.lines),
        "evaluated": progress.evaluated <= progress.counts.get("train", 0),
        "looks": progress.looks <= (most if type(most) is int else 1),
        **lengths,
    }
    for name, agrees in right.items():
        if not agrees:
            raise ValueError(f"{name} cannot be so")


def _is_object(text: str) -> bool:
    """Whether it is a JSON object on a line of its own."""
    try:
        msgspec.json.decode(text, type=dict)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return len(text.splitlines()) == 1
