"""What to do with the clusters that were found, in a sentence with reasons. Stage: identity."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from adaps.errors import listed
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
) -> dict[str, Any]:
    """Verdict, sentence, reasons, and the trainable parameters that each choice would have.

    Args:
        clusters: each agent's cluster.
        confidence: how sure that is.
        growth: see :func:`adaps.identity.prediction.growth_by_number`; may be empty.
        shape: of the network that would be trained.
    """
    sizes = [size for _, size in sorted(Counter(clusters.tolist()).items())]
    verdict, sentence = _verdict(sizes, confidence)
    return {
        "verdict": verdict,
        "sentence": sentence,
        "reasons": [
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


def advise_space_groups(
    clusters: np.ndarray,
    confidence: IdentityConfidence,
    names: list[list[str]],
    shape: NetworkShape,
) -> dict[str, Any]:
    """The same for a team of several space groups, given the names of each group's agents."""
    advice = advise(clusters, confidence, {}, shape)
    reason = (
        "Agents whose observations or actions differ are of different kinds by construction: "
        f"{'; '.join(map(_shortened, names))}. Kinds are found within each of these groups."
    )
    return {**advice, "reasons": [reason, *advice["reasons"]]}


def _shortened(names: list[str]) -> str:
    return listed(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _verdict(sizes: list[int], confidence: IdentityConfidence) -> tuple[str, str]:
    num_kinds, num_agents = len(sizes), sum(sizes)
    if num_agents == 1:
        return "share all", "There is one agent: it has nobody to share with."
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
    each = f"{', '.join(map(str, sizes[:-1]))} and {sizes[-1]}"
    many = f" of {each} agents" if num_kinds <= 12 else f" among {num_agents} agents"
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
    counts = " and ".join(f"{_kinds(k)} in {share:.0%}" for k, share in shares[:3])
    reasons = [f"Resamples of the held-out transitions find {counts}."] if shares else []
    if confidence.agreement is not None:
        reasons.append(
            "The kinds found in the two halves of the data agree with an adjusted Rand index of "
            f"{confidence.agreement:.2f}."
        )
    return reasons


def _kinds(number: int) -> str:
    return "one kind" if number == 1 else f"{number} kinds"
