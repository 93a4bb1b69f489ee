"""Whether a process still runs, though its number may be another's by now. Every stage."""

import os
from typing import NamedTuple

import psutil


class Process(NamedTuple):
    """A process of this machine."""

    pid: int
    started: float
    """Seconds since 1970, by the machine's clock."""

    def is_alive(self) -> bool:
        """Whether it still runs; one that ended, but nobody has asked how, does not."""
        try:
            found = psutil.Process(self.pid)
            # The clock may be set while it runs, by a little.
            same = abs(found.create_time() - self.started) < 5
            return same and found.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, ValueError, OverflowError):
            return False
        except psutil.AccessDenied:
            return True


def own() -> Process:
    """This process."""
    return Process(os.getpid(), psutil.Process().create_time())
