"""What a checkpoint says is checked before it is used; none of it is believed."""

import jax
import numpy as np
import pytest

import adaps
from adaps.files.checkpoint import DamagedError, Series, load
from adaps.training.checkpoint_metadata import check_facts
from adaps.training.journal import Journal, Shared
from adaps.types import Discrete, Identity, NetworkShape

GONE = object()
ANYTHING = [GONE, None, True, -1, 2**60, 1e300, "x", [], {}, [[]], [None], {"train": "x"}]
LINE = [400, 3, '{"seed": 3, "env_steps": 400}']


def facts():
    """Those of a program of two seeds."""
    return {
        "config": {"looks": 2},
        "versions": {},
        "environment": {},
        "seeds": [3, 4],
        "seconds": 1.5,
        "work": [800, 1.25],
        "lines": [LINE],
        "moves": [[{"look": 2}], []],
    }


@pytest.fixture
def series(tmp_path):
    """Two checkpoints: one while it gathered, and one that knows who is alike."""
    series = Series(tmp_path, 3)
    journal = Journal(series, 1, facts, None, pytest.fail)
    journal.note("gather", {"kept": np.zeros(3)}, 7, 10)
    network = adaps.MLP().build(NetworkShape(2, 3, Discrete(2), (4,)))
    sharing = adaps.FuPS().build(jax.random.key(0), network, None)
    identity = Identity(np.zeros((2, 1)), np.array([0, 1]), np.zeros((2, 1)), {2: 0.5})
    journal.share(Shared([identity, None], [sharing, sharing], [0.5, None]))
    return series


def test_what_a_run_saves_is_right(series):
    found = load(series, pytest.fail, check_facts)
    assert found.facts["journal"]["scores"] == [[[2, 0.5]], None]


def damaged(series, names, value):
    """The newest checkpoint, with one of its facts changed."""
    found = load(series, pytest.fail)
    inner = found.facts
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
    "config": [{}, {"train": "x"}],
    "versions": [{}, {"train": "x"}],
    "environment": [{}, {"train": "x"}],
}
"""What could be, of the values of ``ANYTHING``: settings are compared later."""
NAMES = [(name,) for name in facts()]
NAMES += [("journal",), *(("journal", name) for name in ("counts", "evaluated", "looks"))]
NAMES += [("journal", name) for name in ("num_seeds", "scores", "thresholds")]


@pytest.mark.parametrize("names", NAMES, ids=".".join)
def test_facts_of_other_types_are_refused(series, names):
    for value in ANYTHING:
        if value in RIGHT.get(names[-1], []):
            continue
        with pytest.raises(DamagedError) as caught:
            check_facts(damaged(series, names, value))
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (("lines",), [[400, 5, LINE[2]]]),
        (("lines",), [[400, 3, "{}\n{}"]]),
        (("lines",), [[400, 3, "[]"]]),
        (("work",), [1.5, 2]),
        (("moves",), [[], [3]]),
        (("journal", "counts", "train"), -1),
        (("journal", "evaluated"), 1),
        (("journal", "looks"), 3),
        (("journal", "num_seeds"), 1),
        (("journal", "scores"), [None, [["x", 0.5]]]),
        (("journal", "thresholds"), [None, "x"]),
    ],
)
def test_facts_that_do_not_agree_are_refused(series, names, value):
    with pytest.raises(DamagedError, match=names[-1]):
        check_facts(damaged(series, names, value))


def test_a_part_without_a_count_and_sharings_without_arrays_are_refused(series):
    found = load(series, pytest.fail)
    with pytest.raises(DamagedError, match="train is None"):
        check_facts(found._replace(parts={**found.parts, "train": {}}))
    for sharings in ({}, {"x": np.zeros(2)}, {"7/param_set": np.zeros(2)}):
        with pytest.raises(DamagedError, match="who uses which part"):
            check_facts(found._replace(parts={**found.parts, "sharings": sharings}))


def test_the_one_before_is_used_and_the_other_named(series):
    def pretend(checkpoint):
        if checkpoint.number == 2:
            checkpoint.facts["journal"]["looks"] = "x"
        check_facts(checkpoint)

    said = []
    assert load(series, said.append, pretend).number == 1
    (text,) = said
    assert "checkpoint 00000002 is damaged: its facts are not a run's: looks is 'x'" in text
