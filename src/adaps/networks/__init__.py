"""Actors and critics: plain functions of parameters and of who uses which. Stage: network."""
