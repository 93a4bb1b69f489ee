"""What each written file holds: filled in by writers and checked by readers. Stage: files.

A struct's fields are the file's keys. A file may hold keys that are not listed here; what has a
default may be missing. Files may be damaged or made by an attacker, so numbers have bounds, and
what no type can say (lengths that must agree) is checked as soon as a struct is made from a file.
"""

from adaps.files.schema.decode import as_json, decoded, read
from adaps.files.schema.identity_report import IdentityReport, Pair
from adaps.files.schema.run import (
    ConfigFile,
    Identification,
    LayerSummary,
    MetricsLine,
    OfNetworks,
    Result,
    RunIdentity,
    RunSharing,
    SpaceGroup,
    short_form,
    warnings_by_seed,
)
from adaps.files.schema.study import Failures, Options, Plan, Planned, References, Variant

__all__ = [
    "ConfigFile",
    "Failures",
    "Identification",
    "IdentityReport",
    "LayerSummary",
    "MetricsLine",
    "OfNetworks",
    "Options",
    "Pair",
    "Plan",
    "Planned",
    "References",
    "Result",
    "RunIdentity",
    "RunSharing",
    "SpaceGroup",
    "Variant",
    "as_json",
    "decoded",
    "read",
    "short_form",
    "warnings_by_seed",
]
