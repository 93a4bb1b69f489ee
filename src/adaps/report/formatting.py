"""Numbers and findings in words. Stage: report."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from adaps.errors import quoted
from adaps.files.schema import Result
from adaps.report.data import Run

NONE = "–"
"""Stands where there is nothing to show."""
METHOD_NAMES = {
    "adaps": "AdaPS",
    "fups": "FuPS",
    "fups+group-id": "FuPS+group-id",
    "fups+id": "FuPS+id",
    "fups+mask": "FuPS+mask",
    "kaleidoscope": "Kaleidoscope",
    "nops": "NoPS",
    "seps": "SePS",
    "snp-ps": "SNP-PS",
}
GROUPS = {
    "oracle": "the true types, as it was told",
    "shuffled": "as found, but with the members dealt out wrongly on purpose",
}
"""Where groups come from, unless they were discovered or given."""
NAMES = 16
"""Names of agents that are listed at once."""
FAR_FROM_BOUND = 0.0005
"""A regret below this is 0.0 % when it is written out."""


class Interval(NamedTuple):
    """A mean, and how far a 95 % t-interval reaches to either side of it."""

    mean: float
    reach: float | None
    """None where there is only one value."""


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % t-interval over seeds.

    >>> interval([2.0])
    Interval(mean=2.0, reach=None)
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, None)
    return Interval(mean, float(reach(np.asarray(values))))


def reach(values: np.ndarray) -> np.ndarray:
    """Half the width of the 95 % t-interval over the first axis, of two values or more."""
    from scipy import stats  # noqa: PLC0415  takes long to import

    count = len(values)
    quantile = stats.t.ppf(0.975, count - 1)
    return np.asarray(quantile * values.std(axis=0, ddof=1) / np.sqrt(count))


def number(value: float | None, beside: float | None = None) -> str:
    """A number with about four digits, or with as many decimals as the one it stands beside.

    >>> number(-203.94), number(1.5), number(0.01234), number(0.84, beside=-203.9), number(None)
    ('−203.9', '1.50', '0.0123', '0.8', '–')
    """
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value if beside is None else beside)
    text = f"{value:,.1f}" if size >= 100 else f"{value:.2f}" if size >= 1 else f"{value:.3g}"
    return text.replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    r"""A share in percent.

    >>> percent(0.0123), percent(-0.5, digits=0), percent(None)
    ('1.2\xa0%', '−50\xa0%', '–')
    """
    if share is None or not math.isfinite(share):
        return NONE
    return f"{100 * share:.{digits}f}\u00a0%".replace("-", "−")


def index(value: float | None) -> str:
    """A Rand index or silhouette.

    >>> index(1.0), index(-0.1), index(None)
    ('1.00', '−0.10', '–')
    """
    return NONE if value is None else f"{value:.2f}".replace("-", "−")


def duration(seconds: float) -> str:
    r"""A time to read.

    >>> duration(9.5), duration(79.5), duration(3725.0)
    ('9.5\xa0s', '1\xa0min 20\xa0s', '1\xa0h 2\xa0min')
    """
    if seconds < 60:
        return f"{seconds:.1f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min {rest}\u00a0s"
    return f"{minutes // 60}\u00a0h {minutes % 60}\u00a0min"


def counted(count: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "seed"), counted(1200, "agent")
    ('1 seed', '1,200 agents')
    """
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def ranges(numbers: Iterable[int]) -> str:
    """Rising whole numbers, with runs of three or more drawn together.

    >>> ranges([0, 1, 2, 3, 7, 9, 10])
    '0–3, 7, 9, 10'
    """
    runs: list[list[int]] = []
    for one in numbers:
        if runs and one == runs[-1][-1] + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    parts = [f"{r[0]}–{r[-1]}" if len(r) > 2 else ", ".join(map(str, r)) for r in runs]
    return ", ".join(parts)


def name_ranges(names: Iterable[str]) -> list[str]:
    """Names drawn together where they differ in the number at their end alone.

    >>> name_ranges(["agent_0", "agent_1", "scout", "agent_2", "agent_9", "7"])
    ['agent_0–2, 9', 'scout', '7']
    """
    alike: dict[tuple[str, bool], list[int]] = {}
    for name in map(quoted, names):
        # A number as a person writes it, so that the name can be told from prefix and number.
        stem, digits = re.fullmatch(r"(.*?)(0|[1-9][0-9]{0,8}|)", name, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
        alike.setdefault((stem, bool(digits)), []).extend([int(digits)] if digits else [])
    return [f"{stem}{ranges(sorted(numbers))}" for (stem, _), numbers in alike.items()]


def are_numbered(names: Sequence[str]) -> bool:
    """Whether every name ends in the number that its agent has in figures.

    >>> are_numbered(["agent_0", "agent_1"]), are_numbered(["agent_1", "agent_0"])
    (True, False)
    """
    return all(re.search(rf"(?<![0-9]){i}$", name) for i, name in enumerate(names))


def who(agents: Sequence[int], names: Sequence[str] | None) -> str:
    """Agents by name, or by number where they have none.

    >>> who([0, 1, 2], None), who([0, 2], ["fox", "hen_0", "hen_1"])
    ('0–2', 'fox, hen_1')
    """
    if names is None:
        return ranges(agents)
    parts = name_ranges(names[agent] for agent in agents)
    more = f" and {len(parts) - NAMES:,} more" if len(parts) > NAMES else ""
    return ", ".join(parts[:NAMES]) + more


def type_mix(types: Sequence[int] | Sequence[str] | None, agents: list[int]) -> str:
    """How many of these agents are of each true type.

    >>> type_mix([0, 0, 1], [0, 1, 2]), type_mix(None, [0])
    ('2 of type 0, 1 of type 1', '–')
    """
    own = [types[agent] for agent in agents] if types else []
    return ", ".join(f"{own.count(t)} of type {t}" for t in sorted(set(own))) or NONE


def method(name: str) -> str:
    """A sharing method as the literature writes it."""
    return METHOD_NAMES.get(name, name)


def kinds_range(run: Run) -> str:
    """How many kinds the seeds found: one number where they agree."""
    counts = sorted({kinds.num_kinds for kinds in run.kinds.values()})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


def by_construction(run: Run) -> str:
    """Which agents cannot be compared, and so are of different kinds; nothing where all can."""
    parts = run.identity.parts
    if parts is None or run.identity.groups != "discovered":
        return ""
    names = run.identity.agent_names
    shown = "; ".join(f"{who(part.agents, names)} ({part.space})" for part in parts[:NAMES])
    more = f"; and {len(parts) - NAMES:,} more groups" if len(parts) > NAMES else ""
    return (
        f"Agents that see or do different things are of different kinds by construction: "
        f"{shown}{more}. Within these, kinds were looked for one by one; how far they lie apart on "
        "a map says nothing."
    )


def mean_rand_index(run: Run) -> float | None:
    """Mean over seeds; None where no seed has one."""
    known = [k.rand_index for k in run.kinds.values() if k.rand_index is not None]
    return float(np.mean(known)) if known else None


def summary(run: Run) -> str:
    """The run in one plain sentence."""
    parts = [_found(run), _earned(run), _size(run)]
    text = "; ".join(part for part in parts if part)
    return text[:1].upper() + text[1:] + "."


def _found(run: Run) -> str:
    if not run.shared:
        return "training has not begun: nothing is known about the agents yet"
    return _kinds_found(run) if run.kinds else _networks(run)


def _kinds_found(run: Run) -> str:
    """What a method that identifies agents found, over all seeds so far."""
    agents, kinds = counted(run.num_agents or 0, "agent"), kinds_range(run).replace("–", " to ")
    mean = mean_rand_index(run)
    alike = len({found.rand_index for found in run.kinds.values()}) == 1
    name = "adjusted Rand index" if alike else "mean adjusted Rand index"
    agreement = "" if mean is None else f" ({name} {index(mean)})"
    everywhere = " in every seed" if len(run.kinds) > 1 else ""
    if run.identity.groups != "discovered":
        given = GROUPS.get(str(run.identity.groups), "as it was told")
        return f"{agents} in {kinds} kinds, {given}{agreement}"
    if run.settings.sharing.clusters is not None:
        return f"split {agents} into {kinds} kinds, as it was told to{agreement}"
    if run.identity.parts is not None and kinds == str(len(run.identity.parts)):
        return f"{agents} in {kinds} kinds, all of them by construction{agreement}"
    if kinds == "1":
        return f"found all {agents} to be alike{everywhere}{agreement}"
    if kinds.isdigit():
        return f"found {kinds} kinds among {agents}{everywhere}{agreement}"
    return f"found {kinds} kinds among {agents}, differing between seeds{agreement}"


def _networks(run: Run) -> str:
    """What a method that identifies no agents does with the network."""
    agents = run.num_agents or 0
    sets = max(len(set(shared.group)) for shared in run.shared.values())
    if sets == 1:
        return f"all {counted(agents, 'agent')} share one network"
    if sets == agents:
        return f"each of {counted(agents, 'agent')} has a network of its own"
    return f"{counted(agents, 'agent')} share {sets} networks"


def _earned(run: Run) -> str:
    if run.result:
        mean = float(np.mean(list(run.result.returns.values())))
        return f"greedy return {number(mean)}{_distance(mean_regret(run.result))}"
    latest = list(run.latest.values())
    if not latest:
        return ""
    mean = float(np.mean([point.return_greedy for point in latest]))
    steps = max(point.env_steps for point in latest)
    return f"greedy return {number(mean)} at the last evaluation, after {steps:,} steps"


def mean_regret(result: Result) -> float | None:
    """Mean over seeds; None where the best possible return is not known."""
    known = [value for value in result.regrets.values() if value is not None]
    return float(np.mean(known)) if known else None


def _distance(regret: float | None) -> str:
    if regret is None:
        return ""
    if abs(regret) < FAR_FROM_BOUND:
        return ", the best possible"
    if regret < 0:
        return f", {percent(-regret)} above what was taken for the best possible"
    return f", {percent(regret)} from the best possible"


def compared_sizes(result: Result) -> tuple[str, str]:
    """The number of parameters beside those of one network for all and of one for each agent."""
    return (
        compared(result.parameters, result.parameters_fups, "full sharing"),
        compared(result.parameters, result.parameters_nops, "one network per agent"),
    )


def _size(run: Run) -> str:
    if run.result is None:
        return ""
    sizes = " and ".join(compared_sizes(run.result))
    return f"{run.result.parameters:,} trainable parameters, {sizes}"


def compared(ours: int, theirs: int, name: str) -> str:
    r"""One count beside another.

    >>> compared(10, 10, "A"), compared(30, 10, "A"), compared(10, 150, "B"), compared(12, 10, "A")
    ('the same as A', '3 times as many as A', '15 times fewer than B', '20.0\xa0% more than A')
    """
    if ours == theirs:
        return f"the same as {name}"
    more = ours > theirs
    ratio = max(ours, theirs) / max(1, min(ours, theirs))
    if ratio >= 2:
        times = f"{ratio:.1f}".removesuffix(".0")
        return f"{times} times {'as many as' if more else 'fewer than'} {name}"
    share = abs(ours - theirs) / max(1, theirs)
    return f"{percent(share)} {'more' if more else 'fewer'} than {name}"
