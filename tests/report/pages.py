"""What the tests of every page need."""

import re
from html.parser import HTMLParser

HOSTILE = '<script>alert("x")</script>$\\frac'


def text_of(html: str) -> str:
    """What a reader sees, with any white space as single blanks."""
    words = []
    parser = HTMLParser()
    parser.handle_data = words.append  # pyright: ignore[reportAttributeAccessIssue]
    parser.feed(re.sub(r"<(style|svg).*?</\1>", "", html, flags=re.DOTALL))
    return " ".join(" ".join(words).split())
