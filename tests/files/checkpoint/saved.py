"""Checkpoints of which it is known what they hold."""

import hashlib
import json

import numpy as np

from adaps.files.checkpoint import content

PARTS = ("train", "encoder")


def arrays(number, rows=4):
    """Arrays of several dtypes that tell checkpoints apart; the same two times in one of them."""
    kernel = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3) + number / 7
    return {
        "learner.kernel": kernel,
        "learner.twin": kernel + 1,
        "rollout.key:key<fry>": np.array([number, number * 7], np.uint32),
        "rollout.done": np.array([True, False, number % 2 == 0]),
        "total": np.asarray(number, np.int32),
        "none yet": np.zeros((0, 5), np.float16),
    }


def parts(number, rows=4):
    return {part: arrays(number + 100 * i, rows) for i, part in enumerate(PARTS)}


def metadata(number):
    return {"updates": number * 10, "config": {"algo": {"entropy": 0.01}}, "metrics_bytes": 77}


def is_that(checkpoint, number):
    """Whether every array is that of :func:`parts`, bit for bit."""
    known = parts(number)
    return checkpoint.parts.keys() == known.keys() and all(
        same(checkpoint.parts[name], known[name]) for name in known
    )


def same(some, other):
    return some.keys() == other.keys() and all(
        (some[k].dtype, some[k].shape, some[k].tobytes())
        == (other[k].dtype, other[k].shape, other[k].tobytes())
        for k in some
    )


def manifest_of(path):
    return json.loads(path.read_bytes().split(b"\n", 2)[1])


def write_manifest(path, data, sealed):
    """Put a manifest there, with the right seal if it is to be believed."""
    seal, _, tensors = path.read_bytes().split(b"\n", 2)
    body = json.dumps(data).encode() + b"\n" + tensors
    path.write_bytes((sealing(body) if sealed else seal) + b"\n" + body)


def sealing(body):
    """The right seal for what follows it."""
    return json.dumps(
        {
            "format": content.FORMAT,
            "size": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
    ).encode()
