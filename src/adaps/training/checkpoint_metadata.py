"""What a checkpoint says besides its arrays, and every check of it. Stage: train.

A manifest may have been written by someone who means harm, with the right hash of itself: what a
run takes from it is checked here, once, before any of it is used.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from adaps.files.checkpoint import Checkpoint, DamagedError, shown
from adaps.training.journal import IDENTITIES, SHARINGS, restored_shared

MOST = 2**48
"""No count, and no number of seconds, comes to this."""


def check_facts(checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint whose facts are not those of a run.

    Raises:
        DamagedError: with the first thing that is wrong.
    """
    facts = checkpoint.facts
    for name in ("config", "versions", "environment"):
        _fact(facts, name, _is_object)
    seeds = _fact(facts, "seeds", lambda seeds: bool(seeds) and _each(seeds, _is_count))
    _fact(facts, "seconds", _is_number)
    _fact(facts, "work", _is_work)
    _fact(facts, "lines", lambda lines: _each(lines, lambda line: _is_line(line, seeds)))
    _fact(facts, "moves", lambda moves: _each(moves, _are_moves) and len(moves) == len(seeds))
    journal = _fact(facts, "journal", _is_object)
    _check_counts(journal, checkpoint)
    _check_shared(journal, checkpoint)


def _check_counts(journal: dict[str, Any], checkpoint: Checkpoint) -> None:
    """How far each part is, and what was done with it."""
    counts = _fact(journal, "counts", _is_object)
    for name in {*counts, *checkpoint.parts} - {IDENTITIES, SHARINGS}:
        _fact(counts, name, _is_count)
    trained, most = counts.get("train", 0), checkpoint.facts["config"].get("looks")
    _fact(journal, "evaluated", lambda number: _is_count(number) and number <= trained)
    most = most if _is_count(most) else 1
    _fact(journal, "looks", lambda number: _is_count(number) and number <= most)


def _check_shared(journal: dict[str, Any], checkpoint: Checkpoint) -> None:
    """Who is who and who uses what, of every seed."""
    num_seeds = len(checkpoint.facts["seeds"]) if journal["looks"] else 0
    _fact(journal, "num_seeds", lambda number: _is_count(number) and number == num_seeds)
    for name, fits in (("scores", _are_scores), ("thresholds", _is_number)):
        _fact(journal, name, partial(_of_each_seed, num_seeds, fits))
    try:
        restored_shared(checkpoint)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DamagedError(f"who uses which part of the network is not there: {error!r}") from None


def _fact(data: dict[str, Any], name: str, fits: Callable[[Any], bool]) -> Any:
    if not fits(data.get(name)):
        raise DamagedError(f"its facts are not a run's: {name} is {shown(data.get(name))}")
    return data[name]


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_count(value: Any) -> bool:
    """Whether it is a number of things; ``True`` is none, though Python takes it for 1."""
    return type(value) is int and 0 <= value < MOST


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < MOST


def _is_work(work: Any) -> bool:
    """Environment steps, and the seconds that they took."""
    return _each(work, _is_number) and len(work) == 2 and _is_count(work[0])


def _of_each_seed(num_seeds: int, fits: Callable[[Any], bool], each: Any) -> bool:
    """A list with an entry for each seed, which may be None."""
    return _each(each, lambda own: own is None or fits(own)) and len(each) == num_seeds


def _each(values: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(values, list) and all(map(fits, values))


def _is_line(line: Any, seeds: list[int]) -> bool:
    """A point of the learning curve: environment steps, seed, and the line itself."""
    if not (isinstance(line, list) and len(line) == 3 and _is_count(line[0]) and line[1] in seeds):
        return False
    try:
        return isinstance(json.loads(line[2]), dict) and len(line[2].splitlines()) == 1
    except (TypeError, ValueError, RecursionError, AttributeError):
        return False


def _are_moves(moves: Any) -> bool:
    """What came of each further look; read by people alone."""
    return _each(moves, lambda move: isinstance(move, dict))


def _are_scores(scores: Any) -> bool:
    """How good each number of kinds is."""
    return _each(scores, _is_score)


def _is_score(score: Any) -> bool:
    both = isinstance(score, list) and len(score) == 2 and _is_count(score[0])
    return both and type(score[1]) in (int, float)
