"""``python -m adaps``: the same as the ``adaps`` command."""

import sys

from adaps.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
