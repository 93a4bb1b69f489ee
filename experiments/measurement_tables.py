"""Tables of docs/results that come from the JSON files of the measurements there."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any

from formatting import NONE, bold, number, percent, rounded, short, table
from provenance import stated

from adaps.cli.bench import SEPS_GFLOPS, SEPS_STEPS_PER_SECOND
from adaps.report.formatting import METHOD_NAMES
from adaps.training.journal import PAUSE

CRITERIA = {
    "silhouette": "silhouette",
    "davies-bouldin": "Davies–Bouldin",
    "bic": "BIC",
    "gap": "gap",
    "stability": "stability",
}
SPEEDS = {"seps": "SePS, {} kinds"}
"""Methods whose speed depends on the number of kinds."""
KINDS = {"bps-1": 3, "rware-2color-tiny-4ag": 2}
HOST_NAMES = {
    "rware-tiny-4ag-v2": "rware-tiny-4ag",
    "Foraging-8x8-4p-3f-v3": "lbforaging 8x8-4p-3f",
    "simple_tag_v3": "mpe2 simple_tag",
}
HOST_SETTINGS = {
    "four seeds, 8 copies": "four seeds, 8 copies each",
    "four seeds, 16 copies": "four seeds, 16 copies",
    "four seeds, 32 copies": "four seeds, 32 copies",
    "one seed, 16 copies": "one seed, 16 copies",
}
PACKAGES = {"rware": "rware", "foraging": "lbforaging"}
"""First part of an environment's name → the Python package that shares its rules."""
MEASURED = "measured"
"""Where a file, or an entry of one, says where its numbers come from."""


def methods(file: Path, env: str) -> list[str]:
    """Every sharing method and control in one environment."""
    rows = read(file)[env]
    head = ("method", "parameters", "learning rate", "return", "regret", "return per seed")
    lines = table(head, map(_method, rows))
    return [*lines, *stated(row.get(MEASURED, {}) for row in rows)]


def _method(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        bold(row["method"]) if row["method"] == "AdaPS" else row["method"],
        number(row["parameters"], 0),
        f"{row['learning_rate']:g}",
        number(row["return_mean"]),
        percent(row["regret_mean"]),
        ", ".join(map(number, row["return_per_seed"])),
    )


def curves(file: Path) -> list[str]:
    """What the runs of the learning curves' figure come to."""
    data = read(file)
    rows = [
        (
            run["env"],
            METHOD_NAMES[run["method"]],
            ", ".join(number(i, 1) for i in run["adjusted_rand_index"])
            if any(i is not None for i in run["adjusted_rand_index"])
            else NONE,
            number(run["drawn_return"], 2),
            ", ".join(number(value, 2) for value in run["return_per_seed"]),
            number(run["random_return"], 2),
        )
        for run in data["runs"]
    ]
    head = ("environment", "method", "adjusted Rand index, per seed", "drawn return")
    head += ("greedy return, per seed", "at random")
    return [*table(head, rows), *stated(run.get(MEASURED, {}) for run in data["runs"])]


def identity(file: Path) -> list[str]:
    """In how many seeds the true kinds are found, and criteria would have found their number."""
    found = read(file)["vae"]
    head = ("environment", "true kinds", "index 1.0", "not sure", *CRITERIA.values())
    rows = []
    for env, row in found.items():
        missed = [index for index in row["adjusted_rand_index"] if index != 1.0]
        seeds = len(row["adjusted_rand_index"])
        right = f"{seeds - len(missed)} of {seeds}" + (f" ({short(missed)})" if missed else "")
        unsure = row["verdict"].count("not sure")
        chosen = (str(row["criterion_right"].get(name, 0)) for name in CRITERIA)
        rows.append((env, str(row["true_kinds"]), right, str(unsure or NONE), *chosen))
    return [*table(head, rows), *stated(row.get(MEASURED, {}) for row in found.values())]


def ways_of_looking(file: Path) -> list[str]:
    """Adjusted Rand index per seed of each way of gathering."""
    found = read(file)
    rows = []
    for way in dict.fromkeys(way for ways in found.values() for way in ways):
        of = (ways.get(way) for ways in found.values())
        rows.append((way, *(short(row["adjusted_rand_index"]) if row else NONE for row in of)))
    entries = [row for ways in found.values() for row in ways.values()]
    return [*table(("gathered", *found), rows), *stated(row.get(MEASURED, {}) for row in entries)]


def placing(file: Path) -> list[str]:
    """Where new agents are placed, per seed."""
    found = read(file)
    head = ("encoder", "placed with their kind", "said to be known", "unseen kinds flagged")
    keys = ("placed_with_their_kind", "said_to_be_known", "unseen_kinds_flagged")
    rows = [
        (encoder, *(f"{', '.join(number(100 * s[key]) for s in seeds)} %" for key in keys))
        for encoder, seeds in found.items()
        if encoder != MEASURED
    ]
    return [*table(head, rows), *stated([found.get(MEASURED, {})])]


def bench(file: Path) -> list[str]:
    """Training speed of each method: FuPS first, then the fastest first."""
    found = read(file)
    env, each = found["env"], found["methods"]
    rows = [
        (
            SPEEDS.get(name, METHOD_NAMES[name]).format(KINDS.get(env)),
            rounded(each[name]["steps_per_second"], 100),
            "1" if name == "fups" else number(each[name]["over_fups"], 2),
        )
        for name in sorted(each, key=lambda n: (n != "fups", -each[n]["steps_per_second"]))
    ]
    if two := found.get("adaps_two_seeds_two_cores"):
        rows.append(("AdaPS, two seeds on two cores", rounded(two, 100), ""))
    if saving := found.get("checkpoint_seconds"):
        often = f"saving a checkpoint, every {PAUSE:.0f} s"
        rows.append(
            (often, f"{saving * 1000:,.0f} ms, {percent(saving / PAUSE, 2)} of the time", "")
        )
    if env == "bps-1":
        theirs = sorted(SEPS_STEPS_PER_SECOND.items(), key=lambda one: -one[1])
        label = "the SePS authors' PyTorch code, one thread, on another machine"
        rates = ", ".join(f"{METHOD_NAMES[name]} {rate}" for name, rate in theirs)
        rows.append((f"{label} ({SEPS_GFLOPS} GFLOP/s)", rates, ""))
    head = ("method", "environment steps per second", "over FuPS")
    return [*table(head, rows), *stated([found])]


def host_speed(file: Path) -> list[str]:
    """Environments that run in Python: steps per second, and the share that is their own."""
    found = read(file)
    head = ("environment", "its own steps, one core", *HOST_SETTINGS.values())
    rows = [
        (HOST_NAMES.get(name, name), number(row["alone"], 0), *_host(row), number(row["seps"], 0))
        for name, row in found["environments"].items()
    ]
    lines = table((*head, "the SePS authors' code"), rows)
    return [*lines, *stated([found.get(MEASURED, {})])]


def _host(row: dict[str, Any]) -> Iterable[str]:
    for setting in HOST_SETTINGS:
        if (one := row.get(setting)) is None:
            yield NONE
            continue
        yield f"{number(one['steps_per_second'], 0)} ({percent(one['share'], 0)})"


def host_learning(file: Path) -> list[str]:
    """The same environment in JAX and through PettingZoo: what is learnt, per seed."""
    found = read(file)
    head = ("method", "by way of", "greedy return", "mean regret", "Rand index")
    rows = [
        (
            METHOD_NAMES[method],
            {"jax": "JAX", "pettingzoo": "PettingZoo"}[way],
            ", ".join(number(value) for value in row["returns"]),
            percent(mean(row["regrets"]), 1),
            short(row["adjusted_rand_index"]) if None not in row["adjusted_rand_index"] else NONE,
        )
        for method, ways in found["methods"].items()
        for way, row in ways.items()
    ]
    return [*table(head, rows), *stated([found])]


def other_environments(file: Path) -> list[str]:
    """What came of every task of other people that was tried."""
    found = read(file)
    rows = [(f"`{_cell(name)}`", *_tried(name, row)) for name, row in found["tasks"].items()]
    tried = Counter(row["came"] for row in found["tasks"].values())
    summed = ", ".join(f"{count} {came}" for came, count in tried.items())
    head = ("task", "agents", "observation", "actions", "what came of it")
    return [f"{len(rows)} tasks: {summed}.", "", *table(head, rows), *stated([found])]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _tried(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    if "agents" not in row:
        why = _cell(row.get("why", "").removeprefix(f"{name}: "))
        return ("", "", "", f"{row['came']}: {why}" if why else row["came"])
    total, plain = (number(sum(row[key]), 2) for key in ("returns", "plain"))
    came = f"{row['came']}, return {total}; plain loop {plain}"
    return (*(str(row[key]) for key in ("agents", "obs", "actions")), came)


def step_speed(file: Path) -> list[str]:
    """Stepping alone, beside the Python packages; that of ``bps`` is among the training speeds."""
    found = read(file)
    rows = []
    for env, row in found.items():
        if env != MEASURED:
            package = PACKAGES[env.split("-")[0]]
            theirs = f"{package}: {rounded(row['package'], 10)}"
            rows.append((env, rounded(row["ours"], 1000), theirs, number(row["ratio"], 0)))
    trained = read(file.with_name("bench.json")) if file.with_name("bench.json").exists() else {}
    if trained:
        rate = rounded(trained["stepping"]["steps_per_second"], 1000)
        rows.append((trained["env"], rate, NONE, NONE))
    head = ("environment", "steps per second", "Python package", "times")
    return [*table(head, rows), *stated([found.get(MEASURED, {})])]


def read(file: Path) -> dict[str, Any]:
    """A result file."""
    return json.loads(file.read_text())
