"""A study to compare with."""

import pytest
from teams import tiny

from adaps.files.terminal import Terminal
from adaps.study import carry_out
from adaps.study.local import Local


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A study that nothing disturbed: where it lies, and what it said."""
    out = tmp_path_factory.mktemp("whole")
    with (out / "said.txt").open("w") as said:
        console = Terminal(file=said, width=200)
        assert carry_out(tiny(("fups", "adaps")), out / "study", Local(2, 2.0), console) == {}
    return out
