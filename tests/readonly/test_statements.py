"""Statements that write are refused by one line of defence or the other."""

import pytest
from django.db import DatabaseError, NotSupportedError, connections, transaction
from hypothesis import given
from hypothesis import strategies as st

from backendkit.backends.readonly import ReadOnlyError
from backendkit.backends.readonly.lexing import readings, words
from backendkit.backends.readonly.statements import refused

from .databases import READS, WRITES, everything, run


def test_every_statement_that_writes_is_refused(pair):
    before = everything()
    for sql in (*WRITES, *pair.writes):
        with pytest.raises(ReadOnlyError) as caught:
            run("reports", sql)
        assert isinstance(caught.value, NotSupportedError)
        assert "'reports' is read-only and refuses" in str(caught.value)
        assert ".using()" in str(caught.value)
    assert everything() == before


def test_every_statement_that_writes_is_refused_in_a_transaction(pair):
    before = everything()
    for sql in (*WRITES, *pair.writes):
        with pytest.raises(ReadOnlyError), transaction.atomic("reports"):
            run("reports", "SELECT 1")
            run("reports", sql)
        with pytest.raises(ReadOnlyError), transaction.atomic("reports"):
            run("reports", sql)
    assert everything() == before


def test_statements_that_read_are_run(pair):
    for sql in (*READS, *pair.reads):
        run("reports", sql)
        with transaction.atomic("reports"):
            run("reports", sql)
    assert run("reports", "SELECT name FROM shop WHERE id = %s", [1])[0] == ("one",)


def test_the_server_refuses_what_it_is_given_past_django(pair):
    connection = connections["reports"]
    before = everything()
    for autocommit in (True, False):
        for sql in pair.raw:
            run("reports", "SELECT 1")
            connection.set_autocommit(autocommit)
            with pytest.raises(connection.Database.Error):
                connection.connection.cursor().execute(sql)
            connection.close()
    assert everything() == before


def test_executemany_and_callproc_are_refused(pair):
    before = everything()
    with connections["reports"].cursor() as cursor:
        with pytest.raises(ReadOnlyError, match="INSERT"):
            cursor.executemany(
                "INSERT INTO shop (id, name) VALUES (%s, %s)", [(8, "x"), (9, "y")]
            )
        with pytest.raises(ReadOnlyError, match="callproc"):
            cursor.callproc("does_all")
    assert everything() == before


def test_transactions_and_savepoints_work(pair):
    with transaction.atomic("reports"):
        with transaction.atomic("reports"):
            assert run("reports", "SELECT name FROM shop")
        with pytest.raises(ReadOnlyError), transaction.atomic("reports"):
            run("reports", "DELETE FROM shop")
        assert run("reports", "SELECT name FROM shop")
    for command in ("SAVEPOINT a", "ROLLBACK TO SAVEPOINT a", "RELEASE SAVEPOINT a"):
        connections["reports"].set_autocommit(False)
        run("reports", "SAVEPOINT a")
        run("reports", command)
        connections["reports"].rollback()
        connections["reports"].set_autocommit(True)


def test_other_errors_stay_what_they_are(pair):
    with pytest.raises(DatabaseError) as caught:
        run("reports", "SELECT nothing FROM nowhere")
    assert not isinstance(caught.value, ReadOnlyError)


def test_new_rows_are_seen(pair):
    run("reports", "SELECT name FROM shop")
    run("default", "INSERT INTO shop (id, name) VALUES (2, 'two')")
    assert len(run("reports", "SELECT name FROM shop")) == 2


def test_a_connection_made_again_is_read_only(pair):
    connection = connections["reports"]
    for _ in range(2):
        run("reports", "SELECT 1")
        connection.close()
    run("reports", "SELECT 1")
    with pytest.raises(connection.Database.Error):
        connection.connection.cursor().execute(pair.raw[0])


@pytest.mark.parametrize(
    "kind", ["postgresql", pytest.param("mariadb", marks=pytest.mark.check)]
)
def test_what_a_function_switched_on_is_switched_off_again(pair):
    connection, before = connections["reports"], everything()
    assert run("reports", "SELECT opens()")[0] == (1,)
    with pytest.raises(ReadOnlyError):
        run("reports", "SELECT writes()")
    run("reports", "SELECT opens()")
    with pytest.raises(ReadOnlyError), transaction.atomic("reports"):
        run("reports", "SELECT opens()")
        run("reports", "SELECT writes()")
    connection.set_autocommit(False)
    for _ in range(2):
        for end in (
            connection.commit,
            connection.rollback,
            lambda: run("reports", "COMMIT"),
        ):
            run("reports", "SELECT opens()")
            end()
            with pytest.raises(ReadOnlyError):
                run("reports", "SELECT writes()")
            connection.rollback()
    connection.set_autocommit(True)
    assert everything() == before


def test_a_placeholder_within_quotes_is_refused(pair):
    """A driver that writes values into the text would make words of this one."""
    injected = "; SET SESSION TRANSACTION READ WRITE; DELETE FROM shop; -- "
    before = everything()
    if connections["reports"].vendor == "sqlite":
        assert run("reports", "SELECT '%%s', %s", [injected]) == [("%s", injected)]
    else:
        for sql in ("SELECT '%s'", "SELECT 1 -- %s", "SELECT 1 /* %(a)s */"):
            params = {"a": injected} if "(a)" in sql else [injected]
            with pytest.raises(ReadOnlyError, match="within quotes or a comment"):
                run("reports", sql, params)
        with connections["reports"].cursor() as cursor:
            cursor.execute("SELECT '%s'")
            assert cursor.fetchone() == ("%s",)
            cursor.execute("SELECT '%%s', %s", [injected])
            assert cursor.fetchone() == ("%s", injected)
    assert everything() == before


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT 1", True),
        ("SELECT [update] FROM [shop]", True),
        ("SELECT DELETE(1)", True),
        ("SELECT 1 DELETE FROM shop", False),
        ("SELECT 1 EXEC does_all", False),
        ("EXEC does_all", False),
        ("BEGIN TRANSACTION", True),
        ("BEGIN does_all(); END", False),
        ("SELECT a INTO b FROM c", False),
        ("", True),
    ],
)
def test_databases_of_which_nothing_is_known(sql, reads):
    assert (refused(sql, "microsoft") is None) is reads


def _texts():
    """Draw statements of pieces that servers take for words, strings and comments."""
    pieces = st.sampled_from(
        ["'", '"', "`", "\\", "$$", "$a$", "/*", "*/", "/*!", "--", "#", "\n", " ",
         "SELECT", "E", "x", "%s", "[", "]", "(", ")", "N", "U&"]
    )  # fmt: skip
    return st.lists(pieces, max_size=12).map("".join)


@pytest.mark.parametrize("vendor", ["postgresql", "mysql", "sqlite", "other"])
@given(text=_texts())
def test_no_second_statement_is_overlooked_behind_whole_tokens(vendor, text):
    """Whatever was read up to its end, a statement behind it is seen."""
    for reading in readings(text + " ; DELETE FROM shop", vendor):
        found = list(words(text, reading))
        whole = list(words(text + " ; DELETE FROM shop", reading))
        tail = [word.keyword for word in whole[len(found) :]]
        if tail == [";", "DELETE", "FROM", "SHOP"]:
            assert refused(text + " ; DELETE FROM shop", vendor) is not None
        else:
            # It is within a string, name or comment that the text begins.
            assert ";" not in tail
    assert refused("DELETE" + text, vendor) is not None
