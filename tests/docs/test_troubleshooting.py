"""``docs/howto/troubleshooting.rst`` quotes messages that the code raises."""

import ast
import re
from functools import cache

from . import pages

PAGE = pages.DOCS / "howto" / "troubleshooting.rst"
SOURCE = pages.ROOT / "src" / "backendkit"
#: Packages whose messages the page has none of: they needn't be read.
NOT_QUOTED = {"conformance", "fields", "startbackend", "toolbox"}


@cache
def messages():
    """The parts of every text of the source that are there whatever it is about."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        if path.parts[len(SOURCE.parts)] in NOT_QUOTED:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = node.values
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts = [node]
            else:
                continue
            fixed = [one.value for one in parts if isinstance(one, ast.Constant)]
            found.add(tuple(text.strip(" (){}:;,'") for text in fixed))
    return found


def covered(said):
    """Return how many letters of a message texts of the source account for."""
    found = set()
    for parts in messages():
        letters = set()
        position = 0
        for part in parts:
            at = said.find(part, position)
            if at >= 0:
                position = at + len(part)
                letters.update(range(at, position))
            elif "…" not in said:
                # What differs is left out of the page, and so may what follows it be.
                break
        else:
            # A few letters that are the same by chance are no message.
            found |= letters if len(letters) > 18 else set()
    return len(found)


def is_raised(said):
    """Whether it is made of texts of the source, but for names and numbers."""
    return covered(said) >= 0.35 * len(said.replace("…", ""))


def quoted():
    text = PAGE.read_text()
    blocks = re.findall(r"^\.\. code-block:: text\n\n((?:   .*\n)+)", text, re.M)
    return [" ".join(block.split()) for block in blocks]


def test_each_message_is_raised_somewhere():
    """What the source says covers the message, but for the names and numbers in it."""
    assert len(quoted()) > 25
    for message in quoted():
        kind, _, said = message.partition(": ")
        assert re.fullmatch(r"[A-Z]\w+(Error|Configured)", kind), message
        assert is_raised(said), message


def test_a_message_that_nobody_raises_is_noticed():
    assert not is_raised("database is blocked: process 4711 writes since 12.4 s")
    assert not is_raised("the transaction is gone: …")
