"""Other people's text is shown as it is: it crashes nothing, and nothing of it acts or vanishes."""

import io
import os
import re
import subprocess
import sys
import unicodedata
from types import SimpleNamespace

import numpy as np
import pytest

from adaps.cli import identify, train
from adaps.cli.commands import main
from adaps.cli.progress import ConsoleWatch
from adaps.cli.tables import table
from adaps.config.training import TrainConfig
from adaps.errors import RunError, listed
from adaps.files.terminal import UNSEEN, Page, Terminal, complain, say, visible
from adaps.render.episode import Episode, Moment
from adaps.render.palette import appearance
from adaps.render.pictures import pictures
from adaps.sharing import FuPS
from adaps.study.board import Board
from adaps.study.job import Job, Outcome
from adaps.types import Identity

HOSTILE = [
    "unit[red]_0",
    "[red]all[/red]",
    "[/]",
    "[/0]",
    "truck[/truck]",
    "[bold",
    "bold]",
    "[[escaped]]",
    "\\[red]",
    "[link=https://example.org]here[/link]",
    "[@click=app.quit]x[/]",
    "[#ff0000 on white]x",
    "[0]",
    "r[x]",
    ":tiger:",
    "unit :snake: 2",
    ":warning-emoji:",
    "\x1b[31mred\x1b[0m",
    "\x1b[2J\x1b[H",
    "\x1b[1A\x1b[2Kadaps: done",
    "\x1b]0;title\x07",
    "\x1b]8;;https://example.org\x1b\\here\x1b]8;;\x1b\\",
    "\x1b(0lqk",
    "\x9b31m",
    "\x1bc",
    "two\nlines",
    "two\r\nlines",
    "back\rto the start",
    "a\x08\x08\x08b",
    "a\x7fb",
    "a\x00b",
    "a\tb",
    "a\x0bb\x0cc",
    "bell\x07",
    "a\x85b",
    "a\u2028b\u2029c",
    "a\u202eb\u202c",
    "\u2066a\u2069",
    "zero\u200bwidth\u200d\ufeff",
    "soft\u00adhyphen",
    "half\udc80",
    "it's",
    '"quoted"',
    "{task.id}",
    "{0}{}{",
    "%s%n%d%",
    "100 %",
    "back\\slash\\n",
    "$x^2$ \\frac{",
    "<b>&amp;</b>",
    "depot, north",
    "long" * 200,
    "名前" * 60,
    "🐯",
    "e\u0301",
    "--help",
]
"""As names of agents, environments, folders and methods, and in exceptions' messages."""
OWN = re.compile(r"\x1b\[[0-9;]*m|\x1b\[[0-9]*A|\x1b\[2K|\x1b\[\?25[lh]|\r")
"""What a table or a bar may tell the terminal: colours, lines up, a line to clear, the cursor."""

names = pytest.mark.parametrize("name", HOSTILE, ids=ascii)


def assert_shown(out, name):
    """All of it is there to be read, and nothing in it tells the terminal anything."""
    own = OWN.sub("", out)
    assert not [c for c in own if unicodedata.category(c) in UNSEEN and c != "\n"]
    assert packed(visible(name)) in packed(own)


def packed(text):
    """Without what tables add: blanks, ends of lines, and lines around cells."""
    return re.sub(r"[\s\u2500-\u257f]", "", text)


def on_terminal(**options):
    said = io.StringIO()
    return Terminal(file=said, force_terminal=True, width=60, **options), said


@names
def test_what_is_not_seen_is_spelled_out(name):
    shown = visible(name)
    assert shown.encode().decode().splitlines() == [shown]
    assert [c for c in shown if unicodedata.category(c) in UNSEEN] == []
    if all(unicodedata.category(c) not in UNSEEN for c in name):
        assert shown == name


@names
def test_lines_stay_lines(name, capsys):
    say(f"page    {name}")
    complain(f"adaps: {name}")
    out, err = capsys.readouterr()
    assert (out, err) == (f"page    {visible(name)}\n", f"adaps: {visible(name)}\n")


@names
@pytest.mark.parametrize("place", ["title", "heading", "cell"])
def test_tables(name, place):
    places = {"title": "t", "heading": "h", "cell": "c"} | {place: name}
    shown = table(places["title"], ["", places["heading"]])
    shown.add_row("", places["cell"])
    console, said = on_terminal()
    console.print(shown)
    assert_shown(said.getvalue(), name)


@names
@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_and_warnings(name, is_terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", said := io.StringIO())
    monkeypatch.setattr(said, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "5000")
    watch = ConsoleWatch()
    with watch.showing():
        watch.plan("train", "steps", 1)
        watch.begin("train")
        watch.tell(name)
        watch.advance("train", 1, name)
    shown = said.getvalue()
    assert f"warning   {visible(name)}\n" in shown.replace("\x1b[0m", "")
    assert_shown(shown, name)


@names
@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_board_of_a_study(name, is_terminal, tmp_path):
    said = io.StringIO()
    console = Terminal(file=said, force_terminal=is_terminal, width=5_000)
    board = Board(tmp_path, 1, 0, console)
    job = Job(name, name, TrainConfig("bps-1", FuPS(), None), "runs/a")
    with board.live:
        board.started(job)
        board.live.refresh()
        board.ended(job, Outcome(1.0, 1.0, None, name))
    assert_shown(said.getvalue(), f"{name}, {name}, seed 0: failed: {name}")


class Named(SimpleNamespace):
    """What a film's table needs of an environment."""

    num_agents, obs_size, num_actions, max_steps, agent_types = 1, 2, 2, 1, None
    reset = step = print


@names
def test_films(name):
    """A caption with two lines cannot be drawn where one is."""
    moment = Moment(np.zeros((1, 2), np.float32), np.zeros(1), np.ones(1, bool))
    env, look = Named(name=name, agent_names=[name]), appearance([0], None)
    episode = Episode([], np.zeros(1), [moment])
    assert pictures(env, episode, look, 300)(0).width == 300


@names
def test_a_line_that_ends_a_command(name, capsys):
    assert main(["list", f"x{name}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert_shown(err, "a zero byte" if "\0" in name else f"x{name}")


@names
def test_a_failure_inside(name, monkeypatch, capsys):
    def fail(words):
        raise RunError(f"it failed: {name}", f"Traceback\n  {name}\n")

    monkeypatch.setattr("adaps.cli.report.run", fail)
    assert main(["report"]) == 1
    err = capsys.readouterr().err
    assert_shown(err, name)
    assert err.splitlines()[-1] == f"adaps: it failed: {visible(name)}"


@names
def test_identify(name, tmp_path, monkeypatch, capsys):
    """From the first word to the page, but for the work."""
    findings = {
        "env": name, "num_agents": 2, "num_clusters": 1, "clusters": [0, 0],
        "agent_names": [name, "other"], "adjusted_rand_index": None,
        "advice": {"sentence": name, "reasons": [name]},
    }  # fmt: skip
    found = Identity(None, np.zeros(2, int), np.zeros((1, 1)), {}, findings)
    monkeypatch.setattr(identify, "run_identify", lambda *_: found)
    monkeypatch.setattr(identify, "write_identity_page", lambda out: out / "identity.html")
    out = tmp_path / "r[x] :tiger:"
    assert main(["identify", "bps:1-1", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert_shown(shown, f"{listed([name, 'other'])}")
    assert f"{visible(name)}\n  {visible(name)}\n" in shown
    assert f"answer  {out}/identity.json\n" in shown


@names
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_page_that_others_print(name, is_terminal, monkeypatch):
    """As tyro does a command's help, which quotes third parties' words."""
    monkeypatch.setattr(sys, "stdout", said := io.StringIO())
    monkeypatch.setattr(said, "isatty", lambda: is_terminal, raising=False)
    Page().write(f"one\n\x1b[1m{name}\x1b[0m\n")
    if not is_terminal:
        assert said.getvalue() == "".join(f"{visible(x)}\n" for x in said.getvalue().splitlines())
    assert OWN.sub("", said.getvalue()).count("\x1b") == 0


def test_train_into_a_folder_of_any_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train.training, "run", lambda *_, **__: None)
    monkeypatch.setattr(train, "_print_result", lambda *_: None)
    monkeypatch.setattr(train, "write_report", lambda out: out / "report.html")
    out = tmp_path / "r[x]\x1b[31m"
    assert main(["train", "bps:1-1", "--out", str(out)]) == 0
    assert f"report  {visible(out)}/report.html\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["depot", "north"], "depot, north"),
        (["depot, north"], "'depot, north'"),
        ([" a", "b "], "' a', 'b '"),
        (["", "'a'"], "'', \"'a'\""),
        (["it's", "[/]"], "it's, [/]"),
    ],
)
def test_lists_of_names_can_be_told_apart(given, shown):
    assert listed(given) == shown


def command(words, redirection):
    """What a shell runs: its exit code, and what comes of the standard output and errors."""
    line = f"{sys.executable} -m adaps {words} {redirection}"
    shell = ["bash", "-c", f"set -o pipefail; {line}"]
    done = subprocess.run(shell, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", ["--help", "--version", "train --help"])
@pytest.mark.parametrize("redirection", ["| true", "| head -1", ">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_nobody_has_to_read_on(words, redirection):
    code, out, err = command(words, redirection)
    assert (code, err) == (0, "")
    assert out.count("\n") <= 1 or redirection in ("2>&-", "<&-")


class Unread(io.StringIO):
    """A pipe whose other end is closed."""

    def write(self, text):
        raise BrokenPipeError


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_run_goes_on_where_nobody_watches_it(is_terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", said := Unread())
    monkeypatch.setattr(said, "isatty", lambda: is_terminal, raising=False)
    watch = ConsoleWatch()
    with watch.showing():
        watch.plan("train", "steps", 1)
        watch.begin("train")
        watch.tell("no")
        watch.advance("train", 1)
    said.close()
    complain("adaps: no")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "2>&1 | true", "2>/dev/full"])
def test_an_exit_code_does_not_depend_on_who_reads(redirection):
    assert command("train --nonsense", redirection)[0] == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has it")
@pytest.mark.parametrize("words", ["--help", "train --help"])
def test_a_full_disk_is_told(words):
    assert command(words, "> /dev/full") == (
        1,
        "",
        "adaps: cannot write to the standard output: No space left on device; free some space\n",
    )


def test_files_do_not_take_the_place_of_streams(tmp_path):
    """Else what a library prints to the number of the errors' stream would end up in one."""
    code = (
        "import os, sys; from adaps.files.terminal import prepare; prepare(); "
        f"file = open({str(tmp_path / 'file')!r}, 'w'); sys.exit(file.fileno() <= 2)"
    )
    shell = ["bash", "-c", f'{sys.executable} -c "$0" <&- >&- 2>&-', code]
    subprocess.run(shell, check=True)


def test_letters_that_the_terminal_lacks_are_spelled_out():
    code = "from adaps.files.terminal import prepare, say; prepare(); say('größer \u2192 名')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "gr\\xf6\\xdfer \\u2192 \\u540d\n"
