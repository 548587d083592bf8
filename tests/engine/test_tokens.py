"""SQLite's tokens, held against SQLite's own tokenizer."""

import apsw
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendkit.engine.commands import command_of
from backendkit.engine.tokens import TokenKind, significant, tokenize
from tests.effort import effort

PIECES = st.sampled_from(
    [
        *("'", "''", '"', "`", "[", "]", "--", "/*", "*/", "\n", " ", "\t", "\v", "\r"),
        *(
            ";",
            "(",
            ")",
            ",",
            ".",
            "%",
            "%s",
            "?",
            "?1",
            ":a",
            "@b",
            "$c",
            "#",
            "-",
            "/",
        ),
        *(
            "SELECT",
            "IN",
            "for",
            "update",
            "\u017felect",
            "é",
            "\u00a0",
            "\ufeff",
            "x'ab'",
        ),
        *("x'a'", "X", "1", "1.5", ".5", "1e3", "0x1f", "1a", "1_0", "sqlite_master"),
    ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@given(TEXTS)
@example("/*")
@example("-- x\r'")
def test_tokens_are_the_text(sql):
    """No character is lost, and each token says where it is."""
    tokens = list(tokenize(sql))
    assert "".join(token.text for token in tokens) == sql
    assert all(sql[one.start : one.end] == one.text for one in tokens)


@settings(max_examples=effort(test=150, check=1000, soak=50_000))
@given(TEXTS)
@example("a\u00a0b")
@example("\ufeffa")
@example("x'ab'")
@example("1 /* ' */ 'a' -- \"\n")
def test_sqlite_finds_the_same_tokens(sql):
    """
    SQLite reads the tokens, with comments between them, as it reads the statement.

    It says so by what it answers: rows and columns, or an error. Other
    comments are left out, so that one that isn't a comment changes the answer.
    """
    sql = f"SELECT 7 {sql}"
    again = "/**/".join(token.text for token in significant(sql))
    assert _answer(again) == _answer(sql)


def _answer(sql):
    database = apsw.Connection(":memory:")
    try:
        for number in range(14):
            try:
                return number, database.execute(sql, (1,) * number).fetchall()
            except apsw.BindingsError:
                pass  # there are more parameters
    except apsw.SQLError:
        return "an error"
    finally:
        database.close()
    raise AssertionError(sql)


SPACES = st.sampled_from([" ", "\n", " /* ; ' */ ", " -- ROLLBACK\n"])


@given(
    st.lists(SPACES, min_size=6, max_size=6),
    st.sampled_from(["a", '"b c"', "[d;e]", "`f`", "'g'", "transaction", "savepoint"]),
    st.sampled_from(
        [
            ("BEGIN IMMEDIATE TRANSACTION {}", ("BEGIN", "IMMEDIATE", False)),
            ("begin", ("BEGIN", "", False)),
            ("END TRANSACTION", ("COMMIT", "", False)),
            ("ROLLBACK", ("ROLLBACK", "", False)),
            ("ROLLBACK TRANSACTION TO SAVEPOINT {}", ("ROLLBACK TO", "", True)),
            ("Rollback To {}", ("ROLLBACK TO", "", True)),
            ("SAVEPOINT {}", ("SAVEPOINT", "", True)),
            ("RELEASE SAVEPOINT {}", ("RELEASE", "", True)),
            ("RELEASE {}", ("RELEASE", "", True)),
        ]
    ),
    st.booleans(),
)
def test_commands_among_comments(spaces, name, form, end):
    """Comments, case, quotes and a semicolon don't change what a command says."""
    text, (verb, mode, named) = form
    parts = iter(spaces)
    sql = next(parts) + "".join(
        (name if word == "{}" else word) + next(parts) for word in text.split()
    )
    command = command_of(sql + (";" if end else ""))
    assert command[:2] == (verb, mode)
    bare = name.strip("'\"`[]").lower()
    assert command.savepoint == (bare if named else "")


def test_what_is_illegal_is_told():
    """A string without an end reaches to the end of the text."""
    kinds = [token.kind for token in significant("SELECT 'a -- b")]
    assert kinds == [TokenKind.WORD, TokenKind.ILLEGAL]
