"""The ``adaps`` command."""
