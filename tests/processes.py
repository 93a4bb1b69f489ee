"""The command in a process of its own."""

import sys

# A shell that starts tests in the background has them ignore Ctrl-C, and so would their children.
INTERRUPTIBLE = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from adaps.cli.commands import main; sys.exit(main())",
]
"""``adaps``, to be followed by its words."""
