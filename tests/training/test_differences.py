"""In what two configurations differ, field by field."""

from adaps.envs.description import differences


def told(saved, now):
    return list(map(str, differences(saved, now)))


def test_fields_that_differ_are_named_with_both_values():
    saved = {"steps": 5, "algo": {"name": "a2c", "entropy": 0.01}, "hidden": [64, 64], "old": None}
    now = {"steps": 6, "algo": {"name": "a2c", "entropy": 0.02}, "hidden": (64, 32), "new": "x"}
    assert told(saved, now) == [
        "steps: 5 there, 6 here",
        "algo.entropy: 0.01 there, 0.02 here",
        "hidden: [64, 64] there, [64, 32] here",
        'new: none there, "x" here',
        "old: null there, none here",
    ]


def test_a_part_may_have_become_a_value():
    assert told({"a": {"b": 1}}, {"a": 2}) == ['a: {"b": 1} there, 2 here']


def test_what_json_makes_of_a_value_is_the_same_value():
    assert differences({"a": [1, [2.0]], "b": {}}, {"b": {}, "a": (1.0, (2,))}) == []


def test_true_is_not_1():
    assert told({"a": True}, {"a": 1}) == ["a: true there, 1 here"]
