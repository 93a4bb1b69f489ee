"""Writes the tables of docs/results into its pages, from the result files that lie there.

    python experiments/tables.py

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``; all else on a page is
written by hand. A table whose result file is not there is left as it is.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import measurement_tables as measured
import study_tables as studies

RESULTS = Path(__file__).parents[1] / "docs" / "results"
PAGES = ("README.md", "methods.md", "other_environments.md")
TABLES: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
    "bps": ("studies/bps", studies.beside_published),
    "ablation": ("studies/ablation", studies.by_variant),
    "sensitivity": ("studies/sensitivity", studies.by_two_values),
    "keep": ("studies/keep", studies.by_one_value),
    "curves": ("curves.json", measured.curves),
    "foraging": ("studies/foraging", studies.by_environment),
    "warehouses": ("studies/warehouses", studies.by_environment),
    "warehouse_controls": ("studies/warehouse_controls", studies.by_variant),
    "identity": ("identity.json", measured.identity),
    "ways_of_looking": ("ways_of_looking.json", measured.ways_of_looking),
    "placing": ("placing.json", measured.placing),
    "bench": ("bench.json", measured.bench),
    "bench_rware": ("bench_rware.json", measured.bench),
    "host_learning": ("host_learning.json", measured.host_learning),
    "host_speed": ("host_speed.json", measured.host_speed),
    "other_environments": ("other_environments.json", measured.other_environments),
    "step_speed": ("step_speed.json", measured.step_speed),
    "methods-bps-1": ("methods.json", partial(measured.methods, env="bps-1")),
    "methods-bps-3": ("methods.json", partial(measured.methods, env="bps-3")),
}
"""Name → the file or folder it comes from, seen from docs/results, and what makes it."""
BEGIN, END = "<!-- table: {} -->", "<!-- end of table -->"
PLACE = re.compile(r"<!-- table: (\S+) -->\n(.*?)<!-- end of table -->", re.DOTALL)


def main() -> None:
    """Write every page anew, and say which tables were left as they were."""
    for page in PAGES:
        path = RESULTS / page
        text, left = filled(path.read_text())
        path.write_text(text)
        print(f"{path}: written")
        for name in left:
            print(f"  {name} is left as it was: there is no {RESULTS / TABLES[name][0]}")


def filled(text: str, results: Path = RESULTS) -> tuple[str, list[str]]:
    """A page with its tables made anew, and the names of those that could not be.

    Raises:
        ValueError: a table that nobody makes, or that has no end.
    """
    left: list[str] = []
    if len(PLACE.findall(text)) != max(text.count("<!-- table:"), text.count(END)):
        raise ValueError(f"each table must begin with {BEGIN.format('NAME')} and end with {END}")

    def made(place: re.Match[str]) -> str:
        name = place[1]
        if name not in TABLES:
            raise ValueError(f"nobody makes table {name}; known are: {', '.join(TABLES)}")
        source, make = TABLES[name]
        if not (results / source).exists():
            left.append(name)
            return place[0]
        return "\n".join([BEGIN.format(name), "", *make(results / source), "", END])

    return PLACE.sub(made, text), left


if __name__ == "__main__":
    main()
