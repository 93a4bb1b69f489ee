"""Third parties' methods, algorithms and environments by dotted name."""

import json
import signal
import sys
from pathlib import Path

import pytest

import adaps
from adaps.cli.commands import main
from adaps.config.choices import algo_options, sharing_options
from adaps.config.saved import from_json
from adaps.errors import Interrupted
from adaps.extensions import theirs as wrapped
from adaps.extensions import told
from adaps.files import run_folder as files
from adaps.study.plan import jobs, of_methods
from adaps.study.worker import work

ROOT = Path(__file__).parents[1]
TINY = (
    "--steps 4_000 --gather-steps 1_600 --encoder.updates 600 --seeds 1 --evaluations 2 "
    "--eval-episodes 8"
)
THEIRS = '''
from dataclasses import dataclass
from typing import Annotated

import adaps
from adaps.extensions import OneOf, Range

print_nothing = None
FRUIT = "apple"
boom = lambda: 1 / 0


@dataclass(frozen=True)
class Slow(adaps.A2C):
    """A2C with a smaller step."""

    learning_rate: float = 1e-5


@dataclass(frozen=True)
class Ranged(adaps.A2C):
    """A2C with ranges of its own."""

    share: Annotated[float, Range(0, 1, ends="[)")] = 0.5
    entropy: Annotated[float, Range(0, 1)] = 0.5
    mode: Annotated[str, OneOf("mode", ("fast", "slow"))] = "fast"


@dataclass(frozen=True)
class NeedsMore:
    more: int
    name = "more"
    needs_identity = False

    def build(self, key, network, identity): ...


@dataclass(frozen=True)
class Unfinished:
    name = "unfinished"


class Plain:
    name, needs_identity = "plain", False

    def build(self, key, network, identity): ...


@dataclass(frozen=True)
class Alone:
    name, needs_identity = "alone", False

    def build(self, key, network, identity): ...


@dataclass(frozen=True)
class Empty(adaps.SharingMethod):
    name = "empty"


@dataclass
class Thawed(adaps.SharingMethod):
    name = "thawed"

    def build(self, key, network, identity): ...

    def penalty(self, params, sharing, loss): ...


def make_env():
    return adaps.make("bps:2-1")


def unlicensed():
    raise SystemExit("no licence")


def of_size(size): ...


ENV = adaps.make("bps:1-1")
WAREHOUSE = adaps.make("rware-2color-tiny-4ag", task_seed=1)
'''


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "theirs.py").write_text(THEIRS)
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    (tmp_path / "leaving.py").write_text("raise SystemExit")
    (tmp_path / "of_pettingzoo.py").write_text("import pettingzoo.utils")


def test_the_example_runs_from_the_command_line(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(ROOT)
    name, out = "examples.disjoint_masks:DisjointMasks", tmp_path / "run"
    words = f"train bps:2-2 {TINY} --sharing {name} --sharing.common 0.25 --out {out}"
    assert main([*words.split(), "--sharing.groups", "oracle"]) == 0
    assert files.read_json(out, files.RESULT)["sharing"] == "disjoint-masks"
    config = from_json(out / files.CONFIG)
    assert json.loads((out / files.CONFIG).read_text())["config"]["sharing"]["name"] == name
    assert (config.sharing.common, config.sharing.groups) == (0.25, "oracle")
    actor = adaps.load(out).sharing.masks["actor/0"] > 0
    assert actor[0].tolist() == actor[1].tolist() != actor[2].tolist()
    assert (actor[0] & actor[2]).sum() == 16
    assert main(["evaluate", str(out), "--episodes", "8"]) == 0
    assert "--sharing.common" in help_of(name, capsys)


def help_of(name, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--sharing", name, "--help"])
    return capsys.readouterr().out


@pytest.mark.usefixtures("theirs")
def test_environments_and_algorithms_of_others():
    assert adaps.make("theirs:make_env") == adaps.make("bps:2-1")
    assert adaps.make("theirs:ENV").num_agents == 2
    assert adaps.make("theirs:WAREHOUSE", 3) == adaps.make("rware-2color-tiny-4ag", 3)
    with pytest.raises(adaps.UserError, match="'theirs:ENV' has no task seed"):
        adaps.make("theirs:ENV", 3)
    assert algo_options("theirs:Slow").learning_rate == 1e-5
    result = adaps.train(
        "theirs:make_env", "fups", "theirs:Slow", steps=400, seeds=1, eval_episodes=8, out="run"
    )
    assert result.folder is not None
    assert main(["evaluate", "run", "--episodes", "8", "--allow-code"]) == 0


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("theirs:Nothing", "module 'theirs' has no attribute 'Nothing'"),
        ("nowhere.at:All", "cannot be imported: ModuleNotFoundError"),
        ("broken:Thing", "cannot be imported: ModuleNotFoundError: No module named 'nothing_of"),
        ("theirs:FRUIT", "must be a dataclass"),
        ("theirs:boom", "must be a dataclass"),
        ("theirs:Plain", "must be a dataclass"),
        ("subprocess:Popen", "is of Python's standard library"),
        ("theirs:Unfinished", "lacks needs_identity, build"),
        ("theirs:NeedsMore", "every option needs a default"),
    ],
)
def test_what_is_no_method_is_told_why(name, says):
    with pytest.raises(adaps.UserError, match=says):
        sharing_options(name)


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--algo theirs:Slow --algo.learning-rate 0", "--algo.learning-rate must be in (0, inf)"),
        ("--algo theirs:Ranged --algo.share 1", "--algo.share must be in [0, 1), not 1.0"),
        ("--algo theirs:Ranged --algo.entropy 2", "--algo.entropy must be in [0, 1], not 2.0"),
        ("--algo theirs:Ranged --algo.mode fsat", "unknown mode 'fsat'; did you mean 'fast'?"),
    ],
)
def test_options_of_third_parties_have_their_own_ranges(words, says, capsys):
    assert main(["train", "bps:2-2", *words.split(), "--out", "run"]) == 2
    assert f"adaps: {says}" in capsys.readouterr().err
    assert not Path("run").exists()


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Alone", "sharing method Alone must be a subclass of adaps.SharingMethod"),
        ("Empty", "sharing method Empty lacks build"),
        ("Thawed", "sharing method Thawed must be a frozen dataclass, since it has hooks"),
    ],
)
def test_what_lacks_the_base_class_or_its_parts_is_bad_input(name, says, capsys):
    assert main(["train", "bps:1-1", "--sharing", f"theirs:{name}", "--out", "run"]) == 2
    assert capsys.readouterr().err == f"adaps: {says}\n"
    assert not Path("run").exists()


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("theirs:boom", "environment 'theirs:boom' cannot be made: ZeroDivisionError: division"),
        ("theirs:unlicensed", "cannot be made: SystemExit: no licence"),
        ("theirs:of_size", "cannot be made: TypeError: of_size() missing 1 required"),
        ("leaving:Env", "cannot be imported: SystemExit\n"),
    ],
)
def test_what_cannot_be_made_is_bad_input(name, says, capsys):
    assert main(["train", name, "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not Path("run").exists()


@pytest.mark.usefixtures("theirs")
def test_an_extra_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    monkeypatch.delitem(sys.modules, "pettingzoo.utils", raising=False)
    with pytest.raises(adaps.UserError, match=r"\(pip install 'adaps\[pettingzoo\]'\)$"):
        adaps.make("of_pettingzoo:Env")


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize("name", ["theirs:FRUIT", "theirs:Slow"])
def test_what_is_no_environment_is_told_why(name):
    with pytest.raises(adaps.UserError, match=r"is no adaps.Environment: it lacks .*num_agents"):
        adaps.make(name)


RAISING = """
import sys
from dataclasses import dataclass, field

import jax.numpy as jnp

import adaps
from adaps.types import Observation, Timestep


class Odd(BaseException):
    pass


class Unsayable(Exception):
    def __str__(self):
        sys.exit()


KINDS = {
    "exit": SystemExit(),
    "exit 0": SystemExit(0),
    "exit text": SystemExit("no licence"),
    "generator": GeneratorExit(),
    "interrupt": KeyboardInterrupt(),
    "odd": Odd("two\\nlines"),
    "unsayable": Unsayable(),
    "arithmetic": ArithmeticError("no"),
}


class At(str):
    pass


def fail(*args, **options):
    raise KINDS[KIND]


class Team:
    name, num_agents, obs_size, num_actions, max_steps, agent_types = "team", 2, 1, 2, 5, None

    def reset(self, key):
        no = jnp.zeros((), bool)
        seen = Observation(jnp.zeros((2, 1)))
        return jnp.zeros(()), Timestep(seen, jnp.zeros(2), no, no, seen)

    def step(self, key, state, action):
        return self.reset(key)


def team(place):
    part = property(fail) if place in ("name", "num_agents", "agent_types") else fail
    return type("Broken", (Team,), {place: part})


@dataclass(frozen=True)
class Checked(adaps.A2C):
    more: int = 0

    def __post_init__(self):
        if self.more:
            fail()


@dataclass(frozen=True)
class Unmakeable(adaps.A2C):
    more: int = field(default_factory=fail)


@dataclass(frozen=True)
class Learner(adaps.A2C):
    def update(self, *args):
        fail()


@dataclass(frozen=True)
class Builds(adaps.SharingMethod):
    name = "builds"

    def build(self, *args):
        fail()


@dataclass(frozen=True)
class Binds(adaps.FuPS):
    name = "binds"

    def bind(self, *args):
        fail()


@dataclass(frozen=True)
class Network(adaps.MLP):
    def build(self, *args):
        fail()


for place in ("name", "num_agents", "agent_types", "reset", "step"):
    globals()[f"no_{place}"] = lambda place=place: team(place)()
"""
KINDS = {
    "exit": "SystemExit",
    "exit 0": "SystemExit: 0",
    "exit text": "SystemExit: no licence",
    "generator": "GeneratorExit",
    "interrupt": "KeyboardInterrupt",
    "odd": "Odd: two lines",
    "unsayable": "Unsayable: a Unsayable that cannot be shown",
    "arithmetic": "ArithmeticError: no",
}


@pytest.fixture(params=KINDS)
def kind(request, tmp_path, monkeypatch):
    """What is raised by the code in the working directory, and how that is told."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "raising", raising=False)
    monkeypatch.delitem(sys.modules, "leaving", raising=False)
    (tmp_path / "raising.py").write_text(f"KIND = {request.param!r}\n{RAISING}")
    (tmp_path / "leaving.py").write_text("from raising import fail\nfail()")
    monkeypatch.syspath_prepend(str(tmp_path))
    return KINDS[request.param]


@pytest.mark.parametrize(
    "words",
    [
        "leaving:Env",
        "raising:fail",
        "raising:no_name",
        "raising:no_num_agents",
        "raising:no_agent_types",
        "bps:1-1 --algo raising:Unmakeable",
        "bps:1-1 --algo raising:Checked --algo.more 1",
        "bps:1-1 --sharing fups --network raising:Network",
        "bps:1-1 --sharing raising:Builds",
    ],
)
def test_whatever_is_raised_before_a_run_begins_is_one_line(words, kind, capsys):
    assert main(["train", *words.split(), "--out", "run"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert error.endswith(f": {kind}\n")
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("raising:Team --algo raising:Learner", "the run failed"),
        ("raising:Team --sharing raising:Binds", "the run failed"),
    ],
)
def test_whatever_is_raised_within_a_run_is_one_line_below_its_traceback(words, says, kind, capsys):
    sharing = "" if "--sharing" in words else " --sharing fups"
    assert main(["train", *f"{words}{sharing} --steps 400 --out run".split()]) == 1
    error = capsys.readouterr().err.splitlines()
    assert error[-1] == f"adaps: {says}: {kind}"
    assert any(line.startswith("Traceback") for line in error)
    assert any("in fail" in line for line in error)


@pytest.mark.parametrize("what", ["reset", "step"])
def test_whatever_is_raised_when_an_environment_is_looked_at_is_one_line(what, kind, capsys):
    name = f"raising:no_{what}"
    assert main(f"train {name} --sharing fups --steps 400 --out run".split()) == 2
    error = capsys.readouterr().err
    assert error == f"adaps: environment '{name}': {what} fails: {kind}\n"
    assert not Path("run").exists()


def test_whatever_a_command_comes_to_is_one_line(kind, capsys, monkeypatch):
    import raising  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr("adaps.cli.report.run", raising.fail)
    assert main(["report", "run"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"adaps: report failed: {kind}"


def test_a_run_of_a_study_tells_whatever_is_raised(kind, tmp_path):
    """In a process that leaves Ctrl-C to the one above it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    algos = ["raising:Learner"]
    (job,) = jobs(of_methods(["raising:Team"], ["fups"], algos, [0], {"steps": "400"}))
    try:
        outcome = work(job, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.value is None
    assert outcome.failure == kind


def test_a_traceback_within_a_message_is_left_out():
    """What Python raises within a compiled program, JAX quotes as a whole."""
    inner = (
        "INTERNAL: CpuCallback error: Traceback (most recent call last):\n  File\nSystemExit: 0\n"
    )
    assert told(RuntimeError(inner)) == "RuntimeError: SystemExit: 0"


def test_ctrl_c_is_nobodys_failure():
    for heard, kind, is_theirs in (
        (signal.default_int_handler, KeyboardInterrupt, False),
        (lambda *_: None, KeyboardInterrupt, False),  # of the program that uses the library
        (signal.SIG_IGN, KeyboardInterrupt, True),
        (signal.SIG_IGN, Interrupted, False),
    ):
        before = signal.signal(signal.SIGINT, heard)
        try:
            with pytest.raises(adaps.UserError if is_theirs else kind), wrapped("it failed"):
                raise kind
        finally:
            signal.signal(signal.SIGINT, before)
