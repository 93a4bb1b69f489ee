"""What to do with the kinds that were found, in a sentence with reasons. Stage: identify."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from adaps.identity.prediction import LEAST_EFFECT
from adaps.networks.mlp import num_params
from adaps.types import NetworkShape

SURE = 0.8
"""Share of resamples, and agreement of the data's halves, from which an answer counts as sure."""


class Confidence(NamedTuple):
    """How far other data would have given the same answer."""

    num_clusters: dict[int, float]
    """Share of the resamples that find so many kinds."""
    agreement: float | None
    """Adjusted Rand index of the groupings that the data's two halves give."""


def advise(
    clusters: np.ndarray,
    confidence: Confidence,
    growth: dict[str, dict[int, tuple[float, float]]],
    shape: NetworkShape,
) -> dict[str, Any]:
    """Verdict, sentence, reasons, and the trainable parameters that each choice would have.

    Args:
        clusters: each agent's kind.
        confidence: how sure that is.
        growth: see :func:`adaps.identity.prediction.path`.
        shape: of the network that would be trained.
    """
    sizes = [size for _, size in sorted(Counter(clusters.tolist()).items())]
    verdict, sentence = _verdict(sizes, confidence)
    return {
        "verdict": verdict,
        "sentence": sentence,
        "reasons": [*_error_reasons(len(sizes), len(clusters), growth), *_sureness(confidence)],
        "parameters": {
            "fups": num_params(shape),
            "adaps": num_params(shape),
            "seps": num_params(shape, len(sizes)),
            "nops": num_params(shape, len(clusters)),
        },
    }


def advise_parts(
    clusters: np.ndarray, confidence: Confidence, parts: list[list[str]], shape: NetworkShape
) -> dict[str, Any]:
    """The same for a team whose spaces differ.

    Args:
        clusters: each agent's kind.
        confidence: how sure that is.
        parts: names of the agents of each part whose spaces are alike.
        shape: of the network that would be trained.
    """
    advice = advise(clusters, confidence, {}, shape)
    groups = "; ".join(_names(part) for part in parts)
    return {
        **advice,
        "reasons": [
            f"Agents that see or do different things are of different kinds by construction: "
            f"{groups}. Within these, kinds were looked for one by one.",
            *advice["reasons"],
        ],
    }


def _names(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _verdict(sizes: list[int], confidence: Confidence) -> tuple[str, str]:
    num_kinds, num_agents = len(sizes), sum(sizes)
    if num_agents == 1:
        return "share all", "There is one agent: it has nobody to share with."
    if not _is_sure(num_kinds, confidence):
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


def _is_sure(num_kinds: int, confidence: Confidence) -> bool:
    agreed = confidence.agreement is None or confidence.agreement >= SURE
    return agreed and confidence.num_clusters.get(num_kinds, 0.0) >= SURE


def _error_reasons(
    num_kinds: int, num_agents: int, growth: dict[str, dict[int, tuple[float, float]]]
) -> list[str]:
    """What fewer and what more kinds would change about the prediction."""
    found = []
    for channel, by_number in growth.items():
        if num_kinds > 1 and num_kinds in by_number:
            growth_of_fewer = by_number[num_kinds - 1][0] - by_number[num_kinds][0]
            if growth_of_fewer > LEAST_EFFECT:
                found.append(
                    f"With {_kinds(num_kinds - 1)} the held-out error of {channel} would be "
                    f"{growth_of_fewer:.2g} variances greater."
                )
    if (
        growth
        and num_kinds < num_agents
        and all(num_kinds in by_number for by_number in growth.values())
    ):
        most = max(by_number[num_kinds][0] for by_number in growth.values())
        found.append(
            f"A code for each agent would better no held-out error by more than "
            f"{max(most, 0.0):.2g} variances."
        )
    return found


def _sureness(confidence: Confidence) -> list[str]:
    shares = sorted(confidence.num_clusters.items(), key=lambda item: -item[1])
    said = " and ".join(f"{_kinds(k)} in {share:.0%}" for k, share in shares[:3])
    found = [f"Resamples of the held-out transitions find {said}."] if shares else []
    if confidence.agreement is not None:
        found.append(
            "What the two halves of the data find agrees with an adjusted Rand index of "
            f"{confidence.agreement:.2f}."
        )
    return found


def _kinds(number: int) -> str:
    return "one kind" if number == 1 else f"{number} kinds"
