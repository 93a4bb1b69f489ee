"""Code and commands that the documentation shows work as they stand."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

import adaps
from adaps.cli.commands import main
from adaps.errors import Stopped
from adaps.study.plan import Study, jobs

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
TINY = (
    "--steps 4_000 --gather-steps 1_600 --encoder.updates 100 --seeds 1 --evaluations 2 "
    "--eval-episodes 8"
)
STUDIED = (
    "--seeds 1 --steps 8_000 --options gather-steps=1_600 encoder.updates=50 evaluations=2 "
    "eval-episodes=8"
)
SHORTER = {
    "train": TINY,
    "identify": "--gather-steps 1_600 --encoder.updates 100",
    "compare": STUDIED,
    "sweep": STUDIED,
}
COMPUTES = {
    "train": "adaps.training.run._trained",
    "identify": "adaps.cli.identify.run_identify",
    "compare": "adaps.cli.studies.carry_out",
    "sweep": "adaps.cli.studies.carry_out",
}
"""By command, the function that all its computing is in; what it is given has been checked."""


class PlannedError(Stopped):
    """A command has come to what it computes."""


def planned(*args, **_):
    if isinstance(args[0], Study):
        assert jobs(args[0])
    raise PlannedError


def blocks(language):
    for page in PAGES:
        for i, code in enumerate(re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)):
            yield pytest.param(code, id=f"{page.relative_to(ROOT)}-{i}")


def shortened(train):
    """A function that trains, for fewer steps where there are many."""

    def run(*args, steps, **options):
        short = {"gather_steps": 1_600, "evaluations": 2, "eval_episodes": 8}
        short["encoder"] = adaps.VAE(updates=100)
        return train(*args, steps=min(steps, 4_000), **short | options)

    return run


@pytest.mark.parametrize("code", list(blocks("python")))
def test_python(code, tmp_path, monkeypatch):
    """Code runs as it stands, training cut short."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(adaps, "train", shortened(adaps.train))
    exec(compile(code, "documentation", "exec"), {"__name__": "documentation"})


@pytest.mark.parametrize("code", list(blocks("sh")))
def test_commands(code, tmp_path, monkeypatch, capsys):
    """Commands run in turn.

    Those that compute are cut short, and planned only where they do not name a place for what they
    write. Of make's targets only the existence is checked.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    for line in code.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["echo"]:
            subprocess.run(line, shell=True, check=True)
        elif words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif words[:1] == ["adaps"]:
            run(words[1:], monkeypatch, capsys)


def run(words, monkeypatch, capsys):
    command = words[0]
    if command not in SHORTER or "--help" in words:
        assert carried_out(words) in (0, None), capsys.readouterr().err
    elif "--out" in words:
        assert carried_out([*words, *SHORTER[command].split()]) == 0, capsys.readouterr().err
    else:
        with monkeypatch.context() as patch:
            patch.setattr(COMPUTES[command], planned)
            with pytest.raises(PlannedError):
                main(words)


def carried_out(words):
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not link.startswith("https://"):
            assert (page.parent / link.split("#")[0]).exists(), link
