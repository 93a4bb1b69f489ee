"""What tests let other processes do, in copies of one that has imported everything already."""

import contextlib
import multiprocessing
import resource
import threading
import time

from saved import metadata, parts

from adaps.errors import UserError
from adaps.files.checkpoint import CheckpointError, locked, numbers, save

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["adaps.files.checkpoint"])


def started(target, *words):
    """A process, and a pipe from and to it."""
    here, there = CONTEXT.Pipe()
    child = CONTEXT.Process(target=target, args=(there, *words))
    child.start()
    there.close()
    return child, here


def ended(child):
    child.join(60)
    assert child.exitcode == 0


def write_for_ever(pipe, series):
    """Tells of every checkpoint once it is there."""
    while True:
        number = max(numbers(series), default=0) + 1
        save(series, parts(number), metadata(number))
        pipe.send(number)


def write_beyond_a_limit(pipe, series):
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    try:
        save(series, parts(4, rows=10_000), metadata(4))
    except CheckpointError as error:
        pipe.send("refused")
        pipe.send(str(error))


def hold(pipe, folder):
    """Hold the lock, say so, and go on until told."""
    with locked(folder):
        pipe.send("held")
        pipe.recv()


def race(pipe, folder, inside):
    """Once told, take the lock and say who was inside besides."""
    pipe.send("ready")
    pipe.recv()
    with contextlib.suppress(UserError):
        pipe.send(enter(folder, inside))
        return
    pipe.send("refused")


def enter(folder, inside):
    """Whether one was alone while it held the lock."""
    with locked(folder):
        with (inside).open("x"):
            time.sleep(0.3)
        inside.unlink()
    return "alone"


def race_of_threads(folder, inside, count):
    """The same, of threads in this process."""
    results, begin = [], threading.Barrier(count)

    def one():
        begin.wait()
        try:
            results.append(enter(folder, inside))
        except UserError as error:
            results.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
