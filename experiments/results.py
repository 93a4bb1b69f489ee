"""Everything in docs/results: the studies, the other measurements, and the tables made of both.

    python experiments/results.py                      # all; what is done is not done again
    python experiments/results.py bps identity         # some
    python experiments/results.py bps --report-only    # of what there is

Studies are those of experiments/studies. They and the other measurements go to runs/results; what a
reader needs of them is then copied into docs/results, and the tables there are written anew. To
measure something again, delete what runs/results has of it.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import measurements
import tables
import tyro
from study_page import summary

from adaps.errors import UserError
from adaps.files.terminal import Terminal
from adaps.report import write_study
from adaps.study import carry_out
from adaps.study.local import Local
from adaps.study.plan_file import from_file

HERE = Path(__file__).parent
STUDIES = ("bps", "ablation", "sensitivity", "keep", "foraging", "warehouses", "warehouse_controls")
ALL = (*STUDIES, *measurements.NAMES)
"""In this order: what measures speed comes last, when nothing else goes on."""
SHOWN = ("learning-steps", "scores", "sweep")
"""Figures that are kept. Time on a machine that does other work besides says little."""


def main(
    names: tyro.conf.Positional[tuple[str, ...]] = ALL,
    runs: Path = Path("runs/results"),
    report_only: bool = False,
) -> None:
    """Do what is left to do, keep what was found, and write the tables."""
    for name in names:
        if name not in measurements.NAMES and not preset(name).exists():
            sys.exit(f"{name} is neither a study nor a measurement; known are: {', '.join(ALL)}")
    runs.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        one = measurement if name in measurements.NAMES else study
        if not one(name, runs, report_only):
            failed.append(name)
    tables.main()
    if failed:
        sys.exit(f"failed, wholly or in part: {', '.join(failed)}; the same command goes on")


def preset(name: str) -> Path:
    """A study's file."""
    return HERE / "studies" / f"{name}.toml"


def study(name: str, runs: Path, report_only: bool) -> bool:
    """Run what is left of a study and keep what there is; whether nothing failed."""
    out, failures = runs / name, {}
    try:
        if not report_only:
            failures = carry_out(from_file(preset(name)), out, Local(None, 2.0), Terminal())
        write_study(out)
    except UserError as error:
        print(error, file=sys.stderr)
        return False
    keep(name, out)
    return not failures


def keep(name: str, out: Path) -> None:
    """Copy what belongs into the documentation."""
    place = tables.RESULTS / "studies" / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    shutil.copy(out / "scores.csv", place)
    figures = [f for f in sorted((out / "figures").glob("*.svg")) if f.name.startswith(SHOWN)]
    for figure in figures:
        shutil.copy(figure, place)
    plan = json.loads((out / "study.json").read_text())
    numbers = json.loads((out / "statistics.json").read_text())
    (place / "summary.md").write_text(summary(plan, numbers, [figure.name for figure in figures]))


def measurement(name: str, runs: Path, report_only: bool) -> bool:
    """Measure what is left to measure and keep it; whether it is whole."""
    if not report_only:
        for command in measurements.left(name, runs):
            print(" ".join(command), flush=True)
            if subprocess.run(command, check=False).returncode:
                return False
    for file in measurements.files(name, runs):
        place = tables.RESULTS / file.name
        if file.is_dir():
            shutil.copytree(file, place, dirs_exist_ok=True)
        else:
            shutil.copy(file, place)
    return bool(measurements.files(name, runs))


if __name__ == "__main__":
    tyro.cli(main)
