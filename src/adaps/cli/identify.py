"""``adaps identify``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from adaps.cli.progress import ConsoleWatch
from adaps.cli.tables import table
from adaps.config.choices import encoder_options
from adaps.config.parsing import chosen, parse
from adaps.envs import make
from adaps.errors import UserError, listed
from adaps.files import run_folder
from adaps.files.terminal import Terminal, complain, say
from adaps.identity.encoders import ENCODERS
from adaps.report import write_identity_page
from adaps.training.identify import IdentifyConfig, run_identify

E = TypeVar("E")


@dataclass(frozen=True)
class IdentifyCommand(Generic[E]):
    """Which agents are alike: how many kinds, who belongs where, how sure, and what to do."""

    config: Annotated[IdentifyConfig[E], tyro.conf.arg(name="")]
    identity_encoder: Annotated[
        str, tyro.conf.arg(name="encoder", metavar="|".join(ENCODERS), help="Identity encoder.")
    ]
    out: Path | None = None
    """Folder for identity.json and the page; None: the next free one under runs/."""


def run(words: list[str]) -> int:
    """Find out which agents are alike, and write the answer and its page."""
    encoder = chosen(words, "--encoder", "vae")
    start = IdentifyConfig(encoder=encoder_options(encoder))
    kind = IdentifyCommand[type(start.encoder)]
    command = parse(kind, "identify", words, IdentifyCommand(start, encoder))
    config = command.config
    env = make(config.env, config.task_seed, config.agent_types) if config.env else None
    name = f"identify-{config.env or config.transitions}"
    out = command.out or run_folder.free_folder(Path("runs"), re.sub(r"[^\w.-]+", "-", name))
    run_folder.check_free(out)
    if (out / run_folder.IDENTITY).exists():
        raise UserError(f"{out} already holds an answer; name another folder with --out")
    watch = ConsoleWatch()
    try:
        with watch.showing():
            identity = run_identify(env, config, watch)
    except KeyboardInterrupt:
        complain("adaps: interrupted; nothing was saved")
        raise
    with run_folder.writable(out):
        out.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(out / run_folder.IDENTITY, identity.findings)
    _print_findings(identity.findings or {})
    say(f"answer  {out / run_folder.IDENTITY}", f"page    {write_identity_page(out)}")
    return 0


def _print_findings(findings: dict[str, Any]) -> None:
    """Who belongs where, and what to do."""
    title = f"{findings['env']}: {findings['num_agents']} agents"
    kinds = table(title, ("kind", "agents", "who"), left=("who",))
    for kind in range(findings["num_clusters"]):
        members = [i for i, cluster in enumerate(findings["clusters"]) if cluster == kind]
        shown = listed(findings["agent_names"][i] for i in members[:8])
        kinds.add_row(str(kind), str(len(members)), shown + (" …" if len(members) > 8 else ""))
    Terminal().print(kinds)
    advice = findings["advice"]
    say(advice["sentence"], *(f"  {reason}" for reason in advice["reasons"]))
    if (index := findings["adjusted_rand_index"]) is not None:
        say(f"adjusted Rand index with the true types: {index:.3f}")
