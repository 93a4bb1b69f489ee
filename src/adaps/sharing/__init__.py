"""Sharing methods by name. Stage: sharing."""

from adaps.sharing.adaps import AdaPS
from adaps.sharing.fups import FuPS
from adaps.sharing.fups_group_id import FuPSGroupId
from adaps.sharing.fups_id import FuPSId
from adaps.sharing.fups_mask import FuPSMask
from adaps.sharing.kaleidoscope import Kaleidoscope
from adaps.sharing.method import Grouped, SharingMethod
from adaps.sharing.nops import NoPS
from adaps.sharing.seps import SePS
from adaps.sharing.snp_ps import SNPPS

METHODS = {
    method.name: method
    for method in (
        NoPS,
        FuPS,
        FuPSId,
        SePS,
        SNPPS,
        AdaPS,
        Kaleidoscope,
        FuPSGroupId,
        FuPSMask,
    )
}
"""The methods of the literature, then the controls."""

__all__ = [
    "METHODS",
    "SNPPS",
    "AdaPS",
    "FuPS",
    "FuPSGroupId",
    "FuPSId",
    "FuPSMask",
    "Grouped",
    "Kaleidoscope",
    "NoPS",
    "SePS",
    "SharingMethod",
]
