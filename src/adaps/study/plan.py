"""What a study runs: environments × variants × seeds, as plain texts. Stage: study."""

import dataclasses
import hashlib
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from adaps.config.checks import check, resolved
from adaps.config.parsing import parse_train
from adaps.config.training import TrainConfig
from adaps.envs import make
from adaps.errors import UserError, unknown
from adaps.extensions import check_option
from adaps.files.plain_files import parsed, read_text

Options = dict[str, str]
"""Option of ``adaps train``, without its dashes → its value, both as on the command line."""

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
)
"""What the study itself decides, or what a run of it does not have."""
FIELDS = ("title", "envs", "variants", "over", "seeds", "options")
"""What a study's file may say."""


class Variant(NamedTuple):
    """One of the things that are compared."""

    name: str
    """What people call it."""
    options: Options


@dataclass(frozen=True)
class Study:
    """Every variant in every environment with every seed.

    Where several say something about one option, a variant's word goes before an environment's, and
    that before the common one.
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


class Job(NamedTuple):
    """One run of a study: one variant in one environment with one seed."""

    env: str
    variant: str
    config: TrainConfig
    """Resolved: nothing is left to choose."""
    folder: str
    """The run's folder, from the study's."""

    @property
    def seed(self) -> int:
        return self.config.seed

    def __str__(self) -> str:
        return f"{self.env}, {self.variant}, seed {self.seed}"


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
    return Study(_named(envs), variants, list(seeds), options, title=title)


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
    return Study(_named(envs), variants, list(seeds), options, each, title)


def _named(envs: Sequence[str]) -> dict[str, Options]:
    """Environments of which there is nothing to say.

    Raises:
        UserError: one that is named twice.
    """
    _check_each_once("environment", envs)
    return {env: {} for env in envs}


def from_file(path: Path) -> Study:
    """The study that a TOML file describes.

    Raises:
        UserError: the file cannot be read, or says something else; one line that names it.
    """
    try:
        data = parsed(read_text(path), tomllib.loads)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is not a study: {' '.join(str(error).split())}") from None
    for name in data:
        if name not in FIELDS:
            raise UserError(f"{path}: {unknown('entry', name, FIELDS)}")
    try:
        return _from_tables(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path} is not a study: {reason}") from None


def _from_tables(data: dict[str, Any]) -> Study:
    """The file's tables, which may be lists where there is nothing to say of their entries."""
    envs, options = _envs(data["envs"]), _texts(data.get("options", {}))
    if ("over" in data) == ("variants" in data):
        raise ValueError("it needs either variants or over")
    if "over" in data:
        study = of_values(list(envs), _over(data["over"]), [], options)
    elif isinstance(data["variants"], dict):
        study = Study({}, _variants(data["variants"]), [], options)
    else:
        methods = [_text(method) for method in _list("variants", data["variants"])]
        study = of_methods(list(envs), methods, ["a2c"], [], options)
    return dataclasses.replace(
        study,
        envs=envs,
        seeds=_seeds(data.get("seeds", 5)),
        title=_name("title", data.get("title", study.title)),
    )


def _envs(data: Any) -> dict[str, Options]:
    if isinstance(data, dict):
        return {name: _texts(options) for name, options in data.items()}
    return _named([_name("an environment", name) for name in _list("envs", data)])


def _over(tables: Any) -> dict[str, list[str]]:
    over = {k: [_text(v) for v in _list(f"over's {k}", values)] for k, values in tables.items()}
    if not over:
        raise ValueError("over must name at least one option")
    return over


def _list(what: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list, not {value!r}")
    return value


def _name(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a text, not {value!r}")
    return value


def _seeds(value: Any) -> list[int]:
    """So many seeds from 0, or these."""
    if _is_whole(value):
        return seeds_from(0, value)
    if isinstance(value, list) and all(map(_is_whole, value)):
        return value
    raise ValueError(f"seeds must be a whole number or a list of them, not {value!r:.60}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def seeds_from(first: int, count: int) -> list[int]:
    """So many seeds in a row.

    Raises:
        UserError: none, or more than a study may have.
    """
    check_option(TrainConfig, "seeds", count)
    return list(range(first, first + count))


def _variants(tables: dict[str, Any]) -> list[Variant]:
    """Named variants; one that names no sharing method is the method of its own name."""
    each = {name: _texts(options) for name, options in tables.items()}
    return [Variant(name, {"sharing": name, **options}) for name, options in each.items()]


def jobs(study: Study) -> list[Job]:
    """All runs, each checked; seeds of one setting follow each other.

    Raises:
        UserError: nothing to run, or a run that cannot be, with the run's name.
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
            own = dataclasses.replace(config, seed=seed)
            found.append(Job(env, variant.name, own, folder))
    return found


def _check(study: Study) -> None:
    for what in ("envs", "variants", "seeds"):
        if not getattr(study, what):
            raise UserError(f"a study needs at least one of its {what}")
    # Upper and lower case are one where an environment's name is looked up.
    _check_each_once("environment", [env.casefold() for env in study.envs])
    _check_each_once("variant", [variant.name for variant in study.variants])
    if "" in (name for name, _ in study.variants):
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
        UserError: an option that cannot be.
    """
    words = [env, *_words(options)]
    for word in words:
        name = word.removeprefix("--").partition("=")[0].replace("_", "-")
        if word.startswith("--") and name in NOT_OPTIONS:
            raise UserError(f"{name} is nothing that a study's run can be told; leave it out")
    config = parse_train([*words, "--seeds", "1"]).config
    made = make(env, config.task_seed)
    check(config, made)
    return resolved(config, made)


def _words(options: Options) -> list[str]:
    """Options as words of the command line.

    >>> _words({"hidden": "64 64", "sharing.rescale": "false"})
    ['--hidden', '64', '64', '--sharing.no-rescale']
    """
    words = []
    for name, value in options.items():
        if value.lower() in ("true", "false"):
            group, _, flag = name.rpartition(".")
            prefix = f"{group}." if group else ""
            words.append(f"--{prefix}{'' if value.lower() == 'true' else 'no-'}{flag}")
        else:
            words += [f"--{name}", *_split(value)]
    return words


def _split(text: str) -> list[str]:
    """Words of a text, as a shell would part them.

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
    """Where a study goes unless told otherwise: the same for the same study, so that it goes on."""
    return Path("runs") / f"study-{_digest(repr(dataclasses.astuple(study)))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:6]


def _texts(table: Any) -> Options:
    if not isinstance(table, dict):
        raise ValueError(f"{table!r} is no table of options")
    return {name: _text(value) for name, value in table.items()}


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
