"""What to do with the clusters that were found, in a sentence with reasons. Stage: identity."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from adaps.identity.prediction import LEAST_EFFECT, GrowthByNumber
from adaps.networks.mlp import num_params
from adaps.types import NetworkShape

SURE = 0.8
"""Share of resamples, and agreement of the data's halves, from which an answer counts as sure."""


class IdentityConfidence(NamedTuple):
    """How far other data would have given the same clusters."""

    num_clusters: dict[int, float]
    """Share of the resamples that find so many clusters."""
    agreement: float | None
    """Adjusted Rand index of the clusters that the data's two halves give; None for one agent."""


def advise(
    clusters: np.ndarray,
    confidence: IdentityConfidence,
    growth: GrowthByNumber,
    shape: NetworkShape,
    too_little: Sequence[str] = (),
) -> dict[str, Any]:
    """Verdict, sentence, reasons, and the trainable parameters that each choice would have.

    Args:
        clusters: each agent's cluster.
        confidence: how sure that is.
        growth: see :func:`adaps.identity.prediction.growth_by_number`; may be empty.
        shape: of the network that would be trained.
        too_little: why the evidence does not do, however far it agrees with itself.
    """
    sizes = [size for _, size in sorted(Counter(clusters.tolist()).items())]
    verdict, sentence = _verdict(sizes, confidence, too_little)
    return {
        "verdict": verdict,
        "sentence": sentence,
        "reasons": [
            *too_little,
            *_fewer_kinds(len(sizes), growth),
            *_more_kinds(len(sizes), len(clusters), growth),
            *_confidence_reasons(confidence),
        ],
        "parameters": {
            "fups": num_params(shape),
            "adaps": num_params(shape),
            "seps": num_params(shape, len(sizes)),
            "nops": num_params(shape, len(clusters)),
        },
    }


class Comparable(NamedTuple):
    """A space group in words."""

    names: list[str]
    """Its agents'."""
    label: str
    """What they see and may do."""
    obs_size: int
    num_actions: int

    def __str__(self) -> str:
        names = ", ".join(self.names[:6])
        names += f" and {len(self.names) - 6} more" if len(self.names) > 6 else ""
        return f"{names} ({textwrap.shorten(self.label, 80, placeholder=' …')})"


def advise_space_groups(
    clusters: np.ndarray,
    confidence: IdentityConfidence,
    groups: Sequence[Comparable],
    shape: NetworkShape,
    too_little: Sequence[str] = (),
) -> dict[str, Any]:
    """The same for a team of several space groups."""
    advice = advise(clusters, confidence, {}, shape, too_little)
    reason = (
        "Agents whose observations or actions are of another number or layout cannot be compared, "
        f"and are of different kinds by construction: {'; '.join(map(str, groups))}."
    )
    if len(groups) == len(clusters):
        verdict = "nothing to compare"
        sentence = f"Nothing to compare: the {len(groups)} agents differ by construction"
    else:
        verdict, reason = advice["verdict"], f"{reason} Kinds are found within each of these."
        sentence = f"{advice['sentence']} {len(groups)} groups differ by construction"
    sentence = f"{sentence} ({_difference(groups)})."
    reasons = [reason, *advice["reasons"]]
    return {**advice, "verdict": verdict, "sentence": sentence, "reasons": reasons}


def _difference(groups: Sequence[Comparable]) -> str:
    """In what groups differ, such as ``12 and 8 numbers``."""
    for what, each in (
        ("numbers", [group.obs_size for group in groups]),
        ("actions", [group.num_actions for group in groups]),
    ):
        if len(different := list(dict.fromkeys(each))) > 1:
            return f"{_listed(different)} {what}"
    return "the layout of what they see"


def _listed(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _verdict(
    sizes: list[int], confidence: IdentityConfidence, too_little: Sequence[str]
) -> tuple[str, str]:
    num_kinds, num_agents = len(sizes), sum(sizes)
    if num_agents == 1:
        return "share all", "There is one agent: it has nobody to share with."
    if too_little:
        return "not sure", (
            f"Not sure: there is too little evidence, so {_kinds(num_kinds)} "
            f"{'is' if num_kinds == 1 else 'are'} no more than a guess."
        )
    agreed = confidence.agreement is None or confidence.agreement >= SURE
    if not agreed or confidence.num_clusters.get(num_kinds, 0.0) < SURE:
        return "not sure", (
            f"Not sure: {_kinds(num_kinds)} {'is' if num_kinds == 1 else 'are'} most likely; "
            "gather more with --gather-steps before you rely on it."
        )
    if num_kinds == 1:
        return "share all", f"Share all: the {num_agents} agents are alike."
    if num_kinds == num_agents:
        return "do not share", f"Do not share: the {num_agents} agents are all different."
    many = f" of {_listed(sizes)} agents" if num_kinds <= 12 else f" among {num_agents} agents"
    return "share by kind", f"Share by kind: K = {num_kinds}, {_kinds(num_kinds)}{many}."


def _fewer_kinds(num_kinds: int, growth: GrowthByNumber) -> list[str]:
    """What one kind less would cost."""
    costs = {
        channel: by_number[num_kinds - 1][0] - by_number[num_kinds][0]
        for channel, by_number in growth.items()
        if num_kinds > 1 and num_kinds in by_number
    }
    return [
        f"With {_kinds(num_kinds - 1)} the held-out error of {channel} would be {cost:.2g} "
        "variances greater."
        for channel, cost in costs.items()
        if cost > LEAST_EFFECT
    ]


def _more_kinds(num_kinds: int, num_agents: int, growth: GrowthByNumber) -> list[str]:
    """What a code for each agent would gain."""
    gains = [by_number[num_kinds][0] for by_number in growth.values() if num_kinds in by_number]
    if num_kinds == num_agents or not gains:
        return []
    gain = max(*gains, 0.0)
    return [
        f"Giving each agent a code of its own would {'hardly' if gain > LEAST_EFFECT else 'not'} "
        f"improve held-out prediction (at most {round(100 * gain, 3):.2g} % of the variance)."
    ]


def _confidence_reasons(confidence: IdentityConfidence) -> list[str]:
    shares = sorted(confidence.num_clusters.items(), key=lambda item: -item[1])
    counts = " and ".join(f"{_kinds(k)} in {100 * share:.0f} %" for k, share in shares[:3])
    reasons = [f"Resamples of the held-out transitions find {counts}."] if shares else []
    if confidence.agreement is not None:
        reasons.append(
            "The kinds found in the two halves of the data agree with an adjusted Rand index of "
            f"{confidence.agreement:.2f}."
        )
    return reasons


def _kinds(number: int) -> str:
    return "one kind" if number == 1 else f"{number} kinds"
