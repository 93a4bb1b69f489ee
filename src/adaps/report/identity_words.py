"""What was found out about the agents of a team, in words. Stage: report."""

import numpy as np

from adaps.files.schema.identity_report import Confidence, IdentityReport, Pair
from adaps.report.formatting import counted, index, number, percent

CRITERIA = {
    "prediction": "Prediction",
    "silhouette": "Silhouette",
    "davies-bouldin": "Davies–Bouldin",
    "bic": "BIC",
    "gap": "Gap statistic",
    "stability": "Stability",
}
SLIGHT = 0.01
"""Errors that grow by less than this share of the variance hardly tell kinds apart."""
ALSO = 0.25
"""What grows by this share of what grows most is named beside it."""
NAMED_STAND_INS = 6


def confidence(found: IdentityReport) -> str:
    """How far the grouping holds, in one sentence."""
    told = [_resamples(found.confidence, found.num_clusters), _halves(found.confidence.agreement)]
    text = "; ".join(told)
    return text[:1].upper() + text[1:] + "."


def _resamples(confidence: Confidence, num_kinds: int) -> str:
    shares = confidence.shares
    if not shares:
        return "the grouping was not repeated on resampled data"
    kinds, own = counted(num_kinds, "kind"), shares.get(num_kinds, 0.0)
    often, most = max(shares.items(), key=lambda item: item[1])
    if own < most:
        return (
            f"only {percent(own, 0)} of resamples find {kinds}, most often they find "
            f"{often} ({percent(most, 0)})"
        )
    others = [f"{percent(s, 0)} find {n}" for n, s in shares.items() if n != num_kinds and s > 0]
    return ", ".join([f"{percent(own, 0)} of resamples find {kinds}", *others])


def _halves(agreement: float | None) -> str:
    if agreement is None:
        return "two halves of the data were not compared"
    rand = f"(adjusted Rand index {index(agreement)})"
    if agreement >= 0.995:
        return "both halves of the data agree"
    if agreement >= 0.8:
        return f"both halves of the data nearly agree {rand}"
    if agreement >= 0.4:
        return f"the two halves of the data agree only in part {rand}"
    return f"the two halves of the data do not agree {rand}"


def error_growth(value: float) -> str:
    """A difference of errors, with as many decimals as any other, so that they compare.

    >>> error_growth(1.2), error_growth(-0.0004), error_growth(-0.25), error_growth(1234.5)
    ('1.200', '0.000', '−0.250', '1,234.5')
    """
    if abs(value) >= 100:
        return number(value)
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")


def difference(pair: Pair) -> str:
    """What tells two kinds apart.

    >>> difference(Pair((0, 1), 1.2, 0.004, []))
    'Kinds 0 and 1 differ in reward'
    >>> difference(Pair((0, 2), 0.5, 0.4, [("velocity x", 0.7)]))
    'Kinds 0 and 2 differ in reward and dynamics (most of all velocity x)'
    >>> difference(Pair((1, 2), 0.002, None, []))
    'Kinds 1 and 2 hardly differ'
    """
    first, second = pair.clusters
    kinds = f"Kinds {first} and {second}"
    growth = {"reward": pair.reward or 0.0, "dynamics": pair.dynamics or 0.0}
    most = max(growth.values())
    if most < SLIGHT:
        return f"{kinds} hardly differ"
    named = [name for name, value in growth.items() if value >= max(SLIGHT, ALSO * most)]
    where = ""
    entries = [(value, name) for name, value in pair.observation if value is not None]
    if "dynamics" in named and entries:
        where = f" (most of all {max(entries, key=lambda entry: entry[0])[1]})"
    return f"{kinds} differ in {' and '.join(named)}{where}"


def stand_ins(found: IdentityReport) -> str:
    """Which kinds could stand in for which others."""
    if found.replace is None:
        return ""
    growth = {
        (kind, other): float(value)
        for (kind, other), value in np.ndenumerate(found.replace)
        if kind != other and not np.isnan(value)
    }
    if not growth:
        return ""
    near = sorted((value, *pair) for pair, value in growth.items() if value < SLIGHT)
    if not near:
        value, (kind, other) = min((value, pair) for pair, value in growth.items())
        return (
            "No kind could stand in for another: the nearest is "
            f"kind {other} for kind {kind}, where the error grows by {error_growth(value)}."
        )
    named = [
        f"kind {o} for kind {k} ({error_growth(value)})" for value, k, o in near[:NAMED_STAND_INS]
    ]
    more = len(near) - len(named)
    rest = f", and {more:,} more" if more else ""
    return f"These could stand in, as the error hardly grows: {', '.join(named)}{rest}."
