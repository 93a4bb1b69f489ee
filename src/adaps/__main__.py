"""``python -m adaps``: the same as the ``adaps`` command."""

import os
import sys

if __name__ == "__main__":
    # Python has put the working directory first, and it may be a folder that a stranger sent. What
    # the user names there is found all the same.
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
        del sys.path[0]
    from adaps.cli.commands import main

    sys.exit(main())
