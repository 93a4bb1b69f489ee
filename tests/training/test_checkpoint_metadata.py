"""What a checkpoint says is checked before it is used; none of it is believed."""

import jax
import numpy as np
import pytest

import adaps
from adaps.files.checkpoint import DamagedError, Series, load
from adaps.training.checkpoint_metadata import SHARINGS, SeedAssignments, decoded
from adaps.training.journal import Journal
from adaps.types import Discrete, Identity, NetworkShape

GONE = object()
ANYTHING = [GONE, None, True, -1, 2**60, 1e300, "x", [], {}, [[]], [None], {"train": "x"}]
LINE = [400, 3, '{"seed": 3, "env_steps": 400}']


STATED = {
    "config": {"num_identifications": 2},
    "versions": {},
    "environment": {},
    "arithmetic": {},
    "seeds": [3, 4],
    "seconds": 1.5,
    "work": [800, 1.25],
    "lines": [LINE],
    "moves": [[{"look": 2}], []],
}
"""What a program of two seeds says of itself."""


@pytest.fixture
def series(tmp_path):
    """Two checkpoints: one while it gathered, and one that knows who is alike."""
    series = Series(tmp_path, 3)
    journal = Journal(
        series, 1, lambda progress: {**STATED, "progress": progress}, None, pytest.fail
    )
    journal.update("gather", {"kept": np.zeros(3)}, 7, 10)
    network = adaps.MLP().build(NetworkShape(2, 3, Discrete(2), (4,)))
    sharing = adaps.FuPS().build(jax.random.key(0), network, None)
    identity = Identity(np.zeros((2, 1)), np.array([0, 1]), np.zeros((2, 1)), {2: 0.5})
    journal.assign(SeedAssignments([identity, None], [sharing, sharing], [0.5, None]))
    return series


def test_what_a_run_saves_is_right(series):
    found = load(series, pytest.fail, decoded)
    assert found.metadata.lines == [tuple(LINE)]
    assert (SHARINGS in found.parts, found.metadata.progress.looks) == (False, 1)
    identity, nobody = found.assignments.identities
    assert nobody is None
    assert identity.scores == {2: 0.5}
    assert [(x.dtype, x.tolist()) for x in identity[:3]] == [
        (np.float64, [[0], [0]]),
        (np.int64, [0, 1]),
        (np.float64, [[0], [0]]),
    ]
    assert [s.param_set.tolist() for s in found.assignments.sharings] == [[0, 0], [0, 0]]
    assert found.assignments.thresholds == [0.5, None]


def damaged(series, names, value):
    """The newest checkpoint, with one thing that it says changed."""
    found = load(series, pytest.fail)
    inner = found.metadata
    for name in names[:-1]:
        inner = inner[name]
    if value is GONE:
        inner.pop(names[-1])
    else:
        inner[names[-1]] = value
    return found


RIGHT = {
    "lines": [[]],
    "counts": [{}],
    "latent": [None, [], [[]]],
    "clusters": [[]],
    "centres": [[], [[]]],
    "scores": [[]],
    "config": [{}, {"train": "x"}],
    "versions": [{}, {"train": "x"}],
    "arithmetic": [{}, {"train": "x"}],
    "environment": [{}, {"train": "x"}],
}
"""What could be, of the values of ``ANYTHING``: settings and sizes are compared later."""
NAMES = [(name,) for name in STATED]
NAMES += [("progress",), *(("progress", name) for name in ("counts", "evaluated", "looks"))]
NAMES += [("progress", name) for name in ("identities", "thresholds")]
NAMES += [("progress", "identities", 0, n) for n in ("latent", "clusters", "centres", "scores")]


@pytest.mark.parametrize("names", NAMES, ids=lambda names: ".".join(map(str, names)))
def test_metadata_of_other_types_are_refused(series, names):
    for value in ANYTHING:
        if value in RIGHT.get(names[-1], []):
            continue
        with pytest.raises(DamagedError) as caught:
            decoded(damaged(series, names, value))
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (("lines",), [[400, 5, LINE[2]]]),
        (("lines",), [[400, 3, "{}\n{}"]]),
        (("lines",), [[400, 3, "[]"]]),
        (("work",), [1.5, 2]),
        (("moves",), [[], [3]]),
        (("progress", "counts", "train"), -1),
        (("progress", "evaluated"), 1),
        (("progress", "looks"), 3),
        (("progress", "identities"), [None]),
        (("progress", "thresholds"), [None]),
        (("progress", "identities", 0, "scores"), [["x", 0.5]]),
        (("progress", "thresholds"), [None, "x"]),
    ],
)
def test_metadata_that_do_not_agree_are_refused(series, names, value):
    with pytest.raises(DamagedError, match=names[:2][-1]):
        decoded(damaged(series, names, value))


def test_a_part_without_a_count_and_sharings_without_arrays_are_refused(series):
    found = load(series, pytest.fail)
    with pytest.raises(DamagedError, match="the count of train"):
        decoded(found._replace(parts={**found.parts, "train": {}}))
    for sharings in ({}, {"x": np.zeros(2)}, {"param_set": np.zeros((1, 2))}):
        with pytest.raises(DamagedError, match="who uses which part"):
            decoded(found._replace(parts={**found.parts, "sharings": sharings}))


def test_the_one_before_is_used_and_the_other_named(series):
    def pretend(checkpoint):
        if checkpoint.number == 2:
            checkpoint.metadata["progress"]["looks"] = "x"
        return decoded(checkpoint)

    said = []
    assert load(series, said.append, pretend).path == series.path(1)
    (text,) = said
    assert "checkpoint 00000002 is damaged: its metadata is not a run's: Expected `int`" in text
    assert "progress.looks" in text
