"""Policies' files that are not what a run saved: refused by name, before anything acts by them."""

import os

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import adaps
from adaps.files import run_folder as files


@pytest.fixture
def rewritten(short_run, tmp_path):
    """A folder with seed 0's policy after a change to its arrays or its facts."""
    file = files.policy_file(short_run[0], 0)
    with safe_open(file, "numpy") as opened:
        facts = opened.metadata()

    def rewrite(change, facts=facts):
        arrays = load_file(file)
        change(arrays)
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        save_file(arrays, files.policy_file(tmp_path, 0), facts)
        return tmp_path

    return rewrite


def as_it_was(arrays):
    pass


ACTOR, CRITIC = "params.sets.actor", "params.sets.critic"
MASK, SET = "sharing.masks['{}']", "sharing.param_set"
WRONG_ARRAYS = {
    "gone": lambda a: a.pop(ACTOR + "[0].bias"),
    "no actor": lambda a: [a.pop(name) for name in list(a) if name.startswith(ACTOR)],
    "one too many": lambda a: a.update({CRITIC + "[3].weight": a[CRITIC + "[2].weight"]}),
    "a layer too many": lambda a: a.update(
        {
            CRITIC + "[3].weight": a[CRITIC + "[2].weight"],
            CRITIC + "[3].bias": a[CRITIC + "[2].bias"],
        }
    ),
    "a mask too many": lambda a: a.update({MASK.format("actor/2"): a[MASK.format("actor/1")]}),
    "a mask gone": lambda a: a.pop(MASK.format("critic/1")),
    "a mask of whole numbers": lambda a: a.update(
        {MASK.format("actor/0"): a[MASK.format("actor/0")].astype(np.int32)}
    ),
    "not whole": lambda a: a.update({SET: a[SET].astype(np.float32)}),
    "no such set": lambda a: a.update({SET: a[SET] + 1}),
    "negative": lambda a: a.update({SET: a[SET] - 1}),
    "not real": lambda a: a.update(
        {ACTOR + "[0].weight": a[ACTOR + "[0].weight"].astype(np.int32)}
    ),
    "other learned": lambda a: a.update({"params.own.speed": np.zeros(2, np.float32)}),
    "other sharing": lambda a: a.update({"sharing.learned.speed": np.zeros(2, np.float32)}),
}


@pytest.mark.parametrize("case", WRONG_ARRAYS)
def test_arrays_that_do_not_fit_together_are_refused(case, rewritten):
    assert adaps.load(rewritten(as_it_was)).num_params
    with pytest.raises(adaps.UserError, match=r"seed-0\.safetensors is damaged: .") as raised:
        adaps.load(rewritten(WRONG_ARRAYS[case]))
    assert "\n" not in str(raised.value)


SHAPES = {
    "of no axis": lambda array: np.float32(1),
    "of one axis": lambda array: array.ravel(),
    "empty": lambda array: array[:0],
    "cut": lambda array: np.ascontiguousarray(array[..., :-1]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_array_of_another_shape_is_refused(shape, rewritten, short_run):
    for name, array in load_file(files.policy_file(short_run[0], 0)).items():
        changed = np.asarray(SHAPES[shape](array))
        if changed.shape == array.shape:
            continue
        with pytest.raises(adaps.UserError, match=r"seed-0\.safetensors is damaged: ."):
            adaps.load(rewritten(lambda a, n=name, c=changed: a.update({n: c})))


@pytest.mark.parametrize(
    "facts", ["5", "[" * 100_000, '["agents"]', '{"agents": 5}', '{"agents": "[[[["}', "NaN"]
)
def test_facts_of_a_policy_that_are_none_are_refused(facts, rewritten):
    with pytest.raises(adaps.UserError, match=r"seed-0\.safetensors is damaged: ."):
        adaps.load(rewritten(as_it_was, {"adaps": facts}))


def test_what_is_no_seeds_policy_is_left_alone(rewritten):
    folder = rewritten(as_it_was)
    for name in ("seed-0 (copy)", "seed-x", "seed-", "seed--1", "seed-01", "seed-٣", "seed-1_0"):
        (folder / "checkpoints" / f"{name}.safetensors").write_bytes(b"")
    assert files.saved_seeds(folder) == [0]
    files.policy_file(folder, 0).unlink()
    os.mkfifo(files.policy_file(folder, 0))
    with pytest.raises(adaps.UserError, match="is damaged: it is not a plain file"):
        adaps.load(folder)
