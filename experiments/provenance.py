"""What a result file says of where its numbers come from: machine, commit, seeds and budget."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adaps.files.provenance import commit, machine


def measured(seeds: Sequence[int], budget: str) -> dict[str, Any]:
    """What is measured now, with the code as it is; ``budget`` says how much of it, in words."""
    return {"machine": machine(), "commit": commit(), "seeds": list(seeds), "budget": budget}


def stated(files: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence on where numbers come from, as far as their files, or parts of one, say it.

    Nothing where none of them says anything.

    >>> stated([{"seeds": [0, 1, 2], "budget": "1,000 steps"}, {"seeds": [0, 1, 2]}])[1]
    'Seeds 0 to 2; 1,000 steps.'
    """
    each = list(files)
    parts = []
    for key, in_words in WORDS.items():
        said = [in_words(facts[key]) for facts in each if facts.get(key) is not None]
        if said:
            parts.append(", or ".join(dict.fromkeys(said)))
    if not parts:
        return []
    some = "" if all(each) else "of some of these: "
    sentence = f"{some}{'; '.join(parts)}."
    return ["", f"{sentence[0].upper()}{sentence[1:]}"]


def _seeds(seeds: Sequence[int]) -> str:
    first, last = seeds[0], seeds[-1]
    if len(seeds) == 1:
        return f"seed {first}"
    if list(seeds) == list(range(first, last + 1)):
        return f"seeds {first} to {last}"
    return f"seeds {', '.join(map(str, seeds))}"


def _machine(facts: Mapping[str, Any]) -> str:
    cores = f"{facts['cores']} cores" if facts["cores"] > 1 else "one core"
    return f"{cores}, {facts['processor']}, {facts['device']}, JAX {facts['jax']}"


WORDS = {"seeds": _seeds, "budget": str, "machine": _machine, "commit": "commit {}".format}
"""What files say, in the order of a sentence, and how it is said."""
