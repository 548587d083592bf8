"""What only one server or its driver has."""

import threading

import pytest
from django.db import connections, transaction

from backendkit.backends.readonly import ReadOnlyError

from .databases import aliases, everything, run, wrapped


@pytest.mark.parametrize("kind", ["postgresql"])
class TestPostgreSQL:
    def test_copy_only_gives(self, pair):
        before = everything()
        with connections["reports"].cursor() as cursor:
            with cursor.copy("COPY shop TO STDOUT") as copy:
                assert b"".join(copy) == b"1\tone\n"
            with cursor.copy("COPY (SELECT id FROM shop) TO STDOUT") as copy:
                assert b"".join(copy) == b"1\n"
            for sql in (
                "COPY shop FROM STDIN",
                "COPY shop TO PROGRAM 'cat'",
                "COPY (DELETE FROM shop RETURNING id) TO STDOUT",
                "COPY (SELECT nextval('numbers')) TO STDOUT",
                "COPY shop TO STDOUT; DELETE FROM shop",
            ):
                with pytest.raises(ReadOnlyError), cursor.copy(sql):
                    pytest.fail(f"it was run: {sql}")
            with pytest.raises(ReadOnlyError):
                cursor.stream("DELETE FROM shop")
            assert list(cursor.stream("SELECT id FROM shop")) == [(1,)]
        assert everything() == before

    def test_statements_that_are_composed(self, pair):
        from psycopg import sql

        name = sql.Identifier("shop")
        read = sql.SQL("SELECT name FROM {}").format(name)
        assert run("reports", read) == [("one",)]
        assert run("reports", b"SELECT name FROM shop") == [("one",)]
        for write in (sql.SQL("DELETE FROM {}").format(name), b"DELETE FROM shop"):
            with pytest.raises(ReadOnlyError, match="DELETE"):
                run("reports", write)

    def test_rows_of_a_cursor_on_the_server(self, pair):
        connection = connections["reports"]
        with transaction.atomic("reports"), connection.chunked_cursor() as cursor:
            cursor.execute("SELECT name FROM shop")
            assert list(cursor) == [("one",)]
        with pytest.raises(ReadOnlyError), transaction.atomic("reports"):
            with connection.chunked_cursor() as cursor:
                cursor.execute("SELECT writes()")
                cursor.fetchall()

    def test_pool(self, pair, entry):
        with aliases(pooled=wrapped(entry, pool={"min_size": 1, "max_size": 2})):
            for _ in range(3):
                assert run("pooled", "SELECT name FROM shop") == [("one",)]
                for sql in ("DELETE FROM shop", "SELECT writes()"):
                    with pytest.raises(ReadOnlyError):
                        run("pooled", sql)
                run("pooled", "SELECT opens()")
                connections["pooled"].close()
            connections["pooled"].close_pool()

    def test_no_second_round_trip(self, pair):
        """The server tells by itself whether it is read-only."""
        connection = connections["reports"]
        run("reports", "SELECT 1")
        asked = []
        cursor = connection.connection.cursor
        connection.connection.cursor = lambda *a, **k: (
            asked.append(a) or cursor(*a, **k)
        )
        run("reports", "SELECT 1")
        assert len(asked) == 1
        run("reports", "SELECT opens()")
        run("reports", "SELECT 1")
        assert len(asked) == 4

    def test_other_databases(self, pair):
        connection = connections["reports"]
        with connection._nodb_cursor() as cursor:
            cursor.execute("SELECT 1")
            with pytest.raises(ReadOnlyError):
                cursor.execute("CREATE DATABASE other")


@pytest.mark.check
@pytest.mark.parametrize("kind", ["mariadb"])
class TestMariaDB:
    def test_several_statements_at_once(self, pair, entry):
        from pymysql.constants import CLIENT

        flags = {"client_flag": CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS}
        before = everything()
        with aliases(reports=wrapped(entry, **flags)):
            for sql in (
                "SELECT 1; DELETE FROM shop",
                "SELECT 1 -- '\n; SET SESSION TRANSACTION READ WRITE; DELETE FROM shop",
            ):
                with pytest.raises(ReadOnlyError):
                    run("reports", sql)
        assert everything() == before

    def test_a_shell_is_told(self, pair):
        client = connections["reports"].client
        arguments, _ = client.settings_to_cmd_args_env(
            {
                **connections["reports"].settings_dict,
                "OPTIONS": {"read_default_file": "/nowhere/my.cnf"},
            },
            [],
        )
        assert arguments[:3] == [
            "mysql",
            "--defaults-file=/nowhere/my.cnf",
            "--init-command=SET SESSION TRANSACTION READ ONLY",
        ]


def test_settings_of_connections(pair, entry):
    """Connections that persist, are checked, or don't commit by themselves."""
    kept = {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}
    for changes in (kept, {"AUTOCOMMIT": False}, {"TIME_ZONE": None}):
        with aliases(reports={**wrapped(entry), **changes}):
            connection = connections["reports"]
            for _ in range(2):
                assert run("reports", "SELECT name FROM shop")[0] == ("one",)
                connection.close_if_unusable_or_obsolete()
                connection.close_if_health_check_failed()
                with pytest.raises(connection.Database.Error):
                    run("reports", "SELECT 1")
                    connection.connection.cursor().execute(pair.raw[0])
                if connection.connection is not None:
                    connection.rollback()
            connection.close()


def test_each_thread_has_a_connection_that_is_read_only(pair):
    failed = []

    def work():
        try:
            run("reports", "SELECT 1")
            connection = connections["reports"]
            connection.connection.cursor().execute(pair.raw[0])
        except connection.Database.Error as error:
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 3
