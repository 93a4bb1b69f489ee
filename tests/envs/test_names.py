"""Names of environments with options: what is written is read again."""

import pytest

from adaps.envs.names import full_name, parse
from adaps.errors import UserError

OPTIONS = [
    {},
    {"n": 5, "share": 0.5, "masks": True, "seed": None},
    {"hidden": [1, 2], "sizes": (3, 4), "map": {"a": "x,y"}},
    {"scenario": "2s3z", "path": "/tmp/x", "number": "5", "nothing": ""},
    {"text": "a,b=2", "other": "it's", "both": 'it\'s "so", b=2', "bracket": "]", "end": "\\"},
    {"prefix": "x", "name": "y", "options": [0]},
]


@pytest.mark.parametrize("prefix", ["pettingzoo", "jaxmarl", "jumanji", ""])
@pytest.mark.parametrize("options", OPTIONS)
def test_what_is_written_is_read_again(prefix, options):
    name = "package.mine:Mine" if not prefix else "simple_tag_v3"
    assert parse(full_name(prefix, name, options)) == (prefix, name, options)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("jaxmarl:X?a=1&b=[1,2]&c=x,y", {"a": 1, "b": [1, 2], "c": "x,y"}),
        ("jaxmarl:X,a=1,b=[1,(2,3)],c=x&y?", {"a": 1, "b": [1, (2, 3)], "c": "x&y?"}),
        ("mine:X,a=it's,b=2", {"a": "it's", "b": 2}),
        ("mine:X?", {}),
        ("mine:X,a=b=c", {"a": "b=c"}),
    ],
)
def test_both_ways_to_write_options(text, options):
    assert parse(text).options == options


@pytest.mark.parametrize("text", ["bps-1", "bps:2-2", "bps-1,n=2", "mine", "other:x y"])
def test_names_without_options(text):
    assert parse(text) is None


@pytest.mark.parametrize("text", ["mine:X,a", "mine:X,a=1,", "jaxmarl:X?a", "jaxmarl:X,a b=1"])
def test_options_without_a_value_are_refused(text):
    with pytest.raises(UserError, match=r"write options as (mine|jaxmarl):X,option=value"):
        parse(text)
