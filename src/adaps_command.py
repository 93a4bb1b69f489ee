"""Where the ``adaps`` command begins: outside ``adaps.cli``, whose imports take seconds."""

INTERRUPTED = 130


def main() -> int:
    """``adaps``; Ctrl-C while it is being imported ends it without a traceback."""
    try:
        from adaps.cli.commands import main as command  # noqa: PLC0415

        return command()
    except KeyboardInterrupt:
        return INTERRUPTED
