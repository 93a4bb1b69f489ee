"""What options may be, whatever the environment. Used where a run or a study is configured."""

import math
from typing import Any, NamedTuple

from adaps.errors import UserError
from adaps.files.saved_options import GREATEST
from adaps.types import MOST_SEEDS

MOST = {
    "steps": 10**15,
    "gather_steps": 10**15,
    "checkpoint_every": 10**15,
    "seeds": MOST_SEEDS,
    "num_envs": 10**7,
    "rollout_length": 10**6,
    "evaluations": 10**6,
    "eval_episodes": 10**7,
    "episodes": 10**7,
}
"""More of something than any machine can do is a slip of the keyboard."""
MOST_WIDTH, MOST_LAYERS = 2**16, 100
"""Of hidden layers."""


class Range(NamedTuple):
    """Numbers that an option may take."""

    low: float
    high: float = math.inf
    ends: str = "[]"
    """A square bracket where an end is included, a round one where it is not."""

    def holds(self, value: int | float) -> bool:
        """Whether the value is finite and lies inside."""
        low = value > self.low or (value == self.low and self.ends[0] == "[")
        high = value < self.high or (value == self.high and self.ends[1] == "]")
        return abs(value) <= GREATEST and low and high

    def __str__(self) -> str:
        return f"{self.ends[0]}{self.low}, {self.high}{self.ends[1]}"


POSITIVE = Range(0, ends="()")
ANY = Range(-math.inf)
RANGES = {
    "encoder": {
        "latent_size": Range(1, 10_000),
        "hidden": Range(1, MOST_WIDTH),
        "kl_weight": Range(0),
        "learning_rate": POSITIVE,
        "batch_size": Range(1, 10**6),
        "updates": Range(1, 10**9),
        "context": Range(1, 10**6),
    },
    "algo": {
        "learning_rate": POSITIVE,
        "discount": Range(0, 1),
        "entropy": Range(0),
        "value_loss": Range(0),
        "max_grad_norm": POSITIVE,
        "adam_epsilon": POSITIVE,
    },
    "sharing": {
        "threshold": Range(0, 1, ends="()"),
        "keep": Range(0, 1, ends="(]"),
        "overlap": Range(0, 1, ends="(]"),
        "mapping_hidden": Range(1, MOST_WIDTH),
        "keep_ratio": Range(0, 1),
        "diversity": Range(0),
        "initial": ANY,
        "renew_every": Range(1, 2**31 - 1),
        "renew_share": Range(0, 1),
    },
}


def check_count(name: str, value: int, least: int = 1) -> None:
    """Refuse too few of something, and more of it than any machine can do.

    Raises:
        UserError: one line that names the option, its value and what is allowed.
    """
    check_at_least(name, value, least)
    if value > MOST[name]:
        raise UserError(f"--{name.replace('_', '-')} must be at most {MOST[name]:,}, not {value:,}")


def check_hidden(hidden: tuple[int, ...]) -> None:
    """Refuse hidden layers that no network can have.

    Raises:
        UserError: one line that names the option, its value and what is allowed.
    """
    if not 1 <= len(hidden) <= MOST_LAYERS:
        raise UserError(f"--hidden must be 1 to {MOST_LAYERS} widths, not {len(hidden)}")
    if min(hidden) < 1 or max(hidden) > MOST_WIDTH:
        raise UserError(
            f"--hidden must be widths of at least 1 and at most {MOST_WIDTH:,}, not {hidden}"
        )


def check_step_timeout(seconds: float) -> None:
    """Refuse a time that no step can take.

    Raises:
        UserError: it is not a number above 0.
    """
    if not 0 < seconds < math.inf:
        raise UserError(f"--step-timeout must be more than 0 seconds, not {seconds}")


def check_ranges(prefix: str, options: Any) -> None:
    """Refuse options of a method, an algorithm or an encoder that cannot be.

    Args:
        prefix: a key of ``RANGES``.
        options: what has them as attributes.

    Raises:
        UserError: one line that names the option, its value and what is allowed.
    """
    for name, allowed in RANGES[prefix].items():
        value = getattr(options, name, None)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not allowed.holds(number):
                flag = f"--{prefix}.{name}".replace("_", "-")
                raise UserError(f"{flag} must be in {allowed}, not {number}")


def check_at_least(name: str, value: int, least: int) -> None:
    """Refuse too few of something.

    Raises:
        UserError: one line that names the option, its value and what is allowed.
    """
    if value < least:
        raise UserError(f"--{name.replace('_', '-')} must be at least {least}, not {value}")


def check_within(name: str, value: int, low: int, high: int) -> None:
    """Refuse what lies outside; both ends are allowed.

    Raises:
        UserError: one line that names the option, its value and what is allowed.
    """
    if not low <= value <= high:
        raise UserError(f"--{name.replace('_', '-')} must be from {low} to {high}, not {value}")
