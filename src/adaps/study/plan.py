"""What a study runs: environments × variants × seeds, as plain texts. Stage: study."""

import dataclasses
import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from adaps.config.checks import check, resolved
from adaps.config.parsing import parse_train
from adaps.config.training import TrainConfig
from adaps.envs import make
from adaps.errors import UserError
from adaps.extensions import check_option
from adaps.files.schema import Options, Variant
from adaps.study.job import Job

NOT_OPTIONS = (
    "seed",
    "seeds",
    "out",
    "sinks",
    "help",
    "config",
    "resume",
    "auto-resume",
    "allow-changes",
    "allow-code",
)
"""What the study itself decides, or what a run of it does not have."""


@dataclass(frozen=True)
class Study:
    """Every variant in every environment with every seed.

    Where several set the same option, a variant goes before an environment, and that before what
    is common to all.
    """

    envs: dict[str, Options]
    """Environment → options that hold in it alone."""
    variants: list[Variant]
    seeds: list[int]
    options: Options = field(default_factory=dict)
    """Options common to all."""
    over: dict[str, list[str]] | None = None
    """In a sweep, the options that vary and their values."""
    title: str = "Study"


def of_methods(
    envs: Sequence[str],
    methods: Sequence[str],
    algos: Sequence[str],
    seeds: Iterable[int],
    options: Options,
) -> Study:
    """A comparison of sharing methods; each may be followed by options of its own.

    >>> study = of_methods(["bps-1"], ["fups", "adaps sharing.keep=0.7"], ["a2c"], [0], {})
    >>> [variant.options for variant in study.variants]
    [{'sharing': 'fups'}, {'sharing': 'adaps', 'sharing.keep': '0.7'}]

    Raises:
        UserError: an option without a value.
    """
    variants = []
    for method, algo in product(methods, algos):
        name, *own = _split(method) or [""]
        learner = {"algo": algo} if len(algos) > 1 or algo != "a2c" else {}
        label = f"{method}, {algo}" if len(algos) > 1 else method
        variants.append(Variant(label, {"sharing": name, **learner, **pairs(own)}))
    title = f"{_listed(methods)} in {_listed(envs)}"
    return Study(without_options(envs), variants, list(seeds), options, title=title)


def of_values(
    envs: Sequence[str], over: Mapping[str, Sequence[str]], seeds: Iterable[int], options: Options
) -> Study:
    """A sweep: one method with every combination of options' values.

    >>> study = of_values(["bps-1"], {"sharing.keep": ["0.5", "1"]}, [0], {"sharing": "adaps"})
    >>> [variant.name for variant in study.variants]
    ['sharing.keep=0.5', 'sharing.keep=1']
    """
    variants = []
    for values in product(*over.values()):
        own = dict(zip(over, values, strict=True))
        variants.append(Variant(", ".join(f"{k}={v}" for k, v in own.items()), own))
    title = f"{_listed(list(over))} in {_listed(envs)}"
    each = {name: list(values) for name, values in over.items()}
    return Study(without_options(envs), variants, list(seeds), options, each, title)


def without_options(envs: Sequence[str]) -> dict[str, Options]:
    """Environments that have no options of their own.

    Raises:
        UserError: one that is named twice.
    """
    _check_each_once("environment", envs)
    return {env: {} for env in envs}


def seeds_from(first: int, count: int) -> list[int]:
    """So many seeds in a row.

    Raises:
        UserError: none, or more than a study may have.
    """
    check_option(TrainConfig, "seeds", count)
    return list(range(first, first + count))


def jobs(study: Study) -> list[Job]:
    """All runs, each checked; seeds of one setting follow each other.

    Raises:
        UserError: nothing to run, or a run that is not possible, with the run's name.
    """
    _check(study)
    found = []
    for env, variant in product(study.envs, study.variants):
        options = {**study.options, **study.envs[env], **variant.options}
        try:
            config = _config(env, options)
        except UserError as error:
            raise UserError(f"{env}, {variant.name}: {error}") from None
        for seed in study.seeds:
            folder = f"runs/{slug(env)}/{slug(variant.name)}/seed-{seed}"
            found.append(Job(env, variant.name, dataclasses.replace(config, seed=seed), folder))
    return found


def _check(study: Study) -> None:
    for what in ("envs", "variants", "seeds"):
        if not getattr(study, what):
            raise UserError(f"a study needs at least one of its {what}")
    # Upper and lower case are one where an environment's name is looked up.
    _check_each_once("environment", [env.casefold() for env in study.envs])
    for env in study.envs:
        if env.startswith("-"):
            raise UserError(f"no environment's name begins with a dash, as that of {env!r}")
    names = [variant.name for variant in study.variants]
    _check_each_once("variant", names)
    if "" in names:
        raise UserError("a variant needs a name")
    _check_each_once("seed", study.seeds)
    check_option(TrainConfig, "seeds", len(study.seeds))
    for seed in study.seeds:
        if not 0 <= seed < 2**32:
            raise UserError(f"a seed must be from 0 to {2**32 - 1}, not {seed}")


def _check_each_once(what: str, names: Iterable[str | int]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"a study has each {what} once, but {name} twice")


def _config(env: str, options: Options) -> TrainConfig:
    """One seed's configuration.

    Raises:
        UserError: an option that is not possible.
    """
    words = [env, *words_of(options)]
    for word in words:
        name = word.removeprefix("--").partition("=")[0].replace("_", "-")
        if word == "-h" or (word.startswith("--") and name in NOT_OPTIONS):
            raise UserError(f"{name} is nothing that a study's run can be told; leave it out")
    config = parse_train([*words, "--seeds", "1"]).config
    made = make(env, config.task_seed, config.agent_types)
    check(config, made)
    return resolved(config, made)


def words_of(options: Options) -> list[str]:
    """Options as words of the command line.

    >>> words_of({"hidden": "64 64", "sharing.rescale": "false"})
    ['--hidden', '64', '64', '--sharing.no-rescale']
    """
    words = []
    for name, value in options.items():
        if value.lower() in ("true", "false"):
            group, dot, flag = name.rpartition(".")
            words.append(f"--{group}{dot}{'' if value.lower() == 'true' else 'no-'}{flag}")
        else:
            words += [f"--{name}", *_split(value)]
    return words


def _split(text: str) -> list[str]:
    """Words of a text, separated as a shell does it.

    Raises:
        UserError: a quotation mark is left open.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(f"'{text}' cannot be read: {str(error).lower()}") from None


def pairs(words: Iterable[str]) -> Options:
    """Texts ``name=value`` as a mapping.

    Raises:
        UserError: a text without ``=``.
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise UserError(f"'{word}' must be written OPTION=VALUE, such as steps=1e6")
        found[name.removeprefix("--")] = value
    return found


def slug(name: str) -> str:
    """A name for a folder; different names never share one.

    >>> slug("bps-1"), slug("a/b")
    ('bps-1', 'a-b-c14cdd')
    """
    plain = re.sub(r"[^\w.+=-]+", "-", name).strip(".-")[:60]
    return plain if plain == name else f"{plain}-{_digest(name)}"


def default_folder(study: Study) -> Path:
    """Where a study goes unless told otherwise: the same for the same study, so that it resumes."""
    return Path("runs") / f"study-{_digest(repr(dataclasses.astuple(study)))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:6]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
