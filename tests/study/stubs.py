"""Stand-ins for training: what becomes of processes can be seen without any."""

import os
import signal

from adaps.study.job import Outcome


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self):
        self.begun, self.outcomes = [], {}

    def started(self, job):
        self.begun.append(job.folder)

    def ended(self, job, outcome):
        self.outcomes[job.folder] = outcome


def attempts(job, out):
    """Processes that have carried out a run, as :func:`note` wrote them down."""
    file = out / "attempts" / job.folder
    return file.read_text().split() if file.exists() else []


def note(job, out):
    file = out / "attempts" / job.folder
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(f"{os.getpid()}\n")


def dying(job, out):
    """Seed 0 is killed the first time, seed 1 every time; other seeds live."""
    note(job, out)
    if job.seed == 1 or (job.seed == 0 and len(attempts(job, out)) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(1.0, 1.0, float(os.getpid()))


def holding_much(job, out):
    """Seed 1 comes to hold more memory than there is."""
    note(job, out)
    return Outcome(1.0, 1e9 if job.seed == 1 else 1.0, float(os.getpid()))
