"""Sharing methods by name. Stage: sharing."""

from adaps.sharing.adaps import AdaPS
from adaps.sharing.fups import FuPS

METHODS = {"adaps": AdaPS, "fups": FuPS}

__all__ = ["METHODS", "AdaPS", "FuPS"]
