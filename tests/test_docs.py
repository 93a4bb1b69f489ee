"""Code and commands that the documentation shows work as they stand."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from adaps.cli.commands import COMMANDS, main

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
TINY = (
    "--steps 4_000 --gather-steps 1_600 --encoder.updates 100 --seeds 1 --evaluations 2 "
    "--eval-episodes 8"
)
STUDIED = ("gather-steps=1_600", "encoder.updates=50", "evaluations=2", "eval-episodes=8")


def blocks(language):
    for page in PAGES:
        for i, code in enumerate(re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)):
            yield pytest.param(code, id=f"{page.relative_to(ROOT)}-{i}")


@pytest.mark.parametrize("code", list(blocks("python")))
def test_python(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "documentation", "exec"), {"__name__": "documentation"})


@pytest.mark.parametrize("code", list(blocks("sh")))
def test_commands(code, tmp_path, monkeypatch, capsys):
    """Commands run in turn, training cut short; of make's targets only the existence is checked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    for line in code.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["echo"]:
            subprocess.run(line, shell=True, check=True)
        elif words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif words[:1] == ["adaps"]:
            assert run(words[1:]) in (0, None), capsys.readouterr().err


def run(words):
    assert words[0] in COMMANDS
    if words[0] == "train" and "--help" not in words:
        words = [*words, *TINY.split()]
    if words[0] == "identify" and "--help" not in words:
        words = [*words, "--gather-steps", "1_600", "--encoder.updates", "100"]
    if words[0] in ("compare", "sweep"):
        words = [*words, "--seeds", "1", "--steps", "8_000", "--options", *STUDIED]
    if words[0] == "bench":
        return 0
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not link.startswith("https://"):
            assert (page.parent / link.split("#")[0]).exists(), link
