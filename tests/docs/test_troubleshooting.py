"""``docs/howto/troubleshooting.rst`` quotes messages that the code raises."""

import ast
import re
from functools import cache

from . import pages

PAGE = pages.DOCS / "howto" / "troubleshooting.rst"
SOURCE = pages.ROOT / "src" / "backendkit"
#: Packages whose messages the page has none of: they needn't be read.
NOT_QUOTED = {"conformance", "fields", "startbackend", "toolbox"}
#: One value of a message: "…", a text in quotes, a number, a name or a path.
VALUE = r"""(?:…|'[^']*'|"[^"]*"|(?:[^\s'"]|\['\w+'\])+)"""
#: What a placeholder of a template may stand for: nothing, a value, or a list of them.
VALUES = re.compile(rf"(?:{VALUE}(?: {VALUE})?(?:(?:, | AND ){VALUE}(?: {VALUE})?)*)?")


def parts(node):
    """Return a text's parts: what is in it in any case, and None for a placeholder."""
    if isinstance(node, ast.JoinedStr):
        return [part for value in node.values for part in parts(value)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*parts(node.left), *parts(node.right)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    return [None]


@cache
def templates():
    """Return each text of the source as its parts, with how many letters it has."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        if path.parts[len(SOURCE.parts)] not in NOT_QUOTED:
            found.update(
                tuple(parts(one)) for one in ast.walk(ast.parse(path.read_text()))
            )
    return [(text, sum(map(letters, filter(None, text)))) for text in found]


def letters(text):
    return sum(map(str.isalpha, text))


def is_raised(said):
    """
    Whether a text of the source is this one, each placeholder filled in.

    A placeholder stands for a value, for a list of values, or for another text of the
    source. What an error is about may stand before it, with a colon.
    """
    place = re.match(rf"{VALUE}: ", said)
    return is_text(said, 12) or (place is not None and is_text(said[place.end() :], 12))


@cache
def is_text(said, least):
    """As above. Texts of fewer letters than *least* would fit too much."""
    return any(
        fixed >= least and said.startswith(text[0] or "") and fits(text, said)
        for text, fixed in templates()
    )


def fits(text, said, fixed=0):
    """Whether the parts of a text, behind as many *fixed* letters, are what is said."""
    # The page may leave out the end.
    if not text or (said == "…" and fixed >= 12):
        return said in ("", "…")
    part, *others = text
    if part is not None:
        if not said.startswith(part):
            return False
        return fits(others, said[len(part) :], fixed + letters(part))
    if not others:
        return is_filled_in(said)
    # What comes behind it first: it is cheaper to tell.
    following = re.escape(others[0] or "")
    places = [one.start() for one in re.finditer(f"(?={following}|…$)", said)]
    return any(
        fits(others, said[at:], fixed) and is_filled_in(said[:at]) for at in places
    )


@cache
def is_filled_in(said):
    """Whether it is values, another text of the source, or the latter and a value."""
    before, _, last = said.rpartition(" ")
    return bool(
        VALUES.fullmatch(said)
        or is_text(said, 2)
        or (VALUES.fullmatch(last) and is_text(before, 6))
    )


def quoted():
    text = PAGE.read_text()
    blocks = re.findall(r"^\.\. code-block:: text\n\n((?:   .*\n)+)", text, re.M)
    return [" ".join(block.split()) for block in blocks]


def test_each_message_is_raised_somewhere():
    """Word by word, but for the names and numbers in it."""
    assert len(quoted()) > 25
    wrong = []
    for message in quoted():
        kind, _, said = message.partition(": ")
        assert re.fullmatch(r"[A-Z]\w+(Error|Configured)", kind), message
        if not is_raised(said):
            wrong.append(message)
    assert wrong == []


def test_a_message_that_nobody_raises_is_noticed():
    assert not is_raised("database is blocked: process 4711 writes since 12.4 s")
    assert not is_raised("the transaction is gone: …")


def test_another_word_is_noticed():
    for message in quoted():
        said = message.partition(": ")[2]
        word = max(re.findall(r"(?<= )[a-z]+(?= )", said), key=len)
        assert not is_raised(said.replace(word, "gladly")), message
