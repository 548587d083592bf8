"""PEP 249's own suite, as PyPI's ``dbapi-compliance`` has it."""

import pytest

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)
dbapi20 = pytest.importorskip("dbapi20", reason="needs dbapi-compliance")


class NamingCursor(driver.Cursor):
    """Names the columns of an INSERT, as immudb's SQL wants."""

    @staticmethod
    def _named(sql):
        sql = sql.replace("barflys values", "barflys (name, drink) values")
        return sql.replace("booze values", "booze (name) values")

    def execute(self, sql, *parameters):
        return super().execute(self._named(sql), *parameters)

    def executemany(self, sql, parameters):
        return super().executemany(self._named(sql), parameters)


class TestCompliance(dbapi20.DatabaseAPI20Test):
    driver = driver
    # A table needs a primary key, and a key a length.
    ddl1 = "create table dbapi20test_booze (name varchar[20], primary key name)"
    ddl2 = (
        "create table dbapi20test_barflys"
        " (name varchar[20], drink varchar[30], primary key name)"
    )

    def executeDDL1(self, cursor):  # noqa: N802  # the suite's name
        # immudb can't read a table in the transaction that creates it.
        cursor.execute(self.ddl1)
        cursor.connection.commit()

    def executeDDL2(self, cursor):  # noqa: N802  # the suite's name
        cursor.execute(self.ddl2)
        cursor.connection.commit()

    @pytest.fixture(autouse=True)
    def _server(self, connect, arguments):
        self.connect_kw_args = arguments

    def _connect(self):
        connection = super()._connect()
        connection.cursor = lambda: NamingCursor(connection)
        return connection

    def tearDown(self):
        """The fixture drops the tables; nobody may hold a transaction then."""

    def test_non_idempotent_close(self):
        """PEP 249 doesn't ask for an error; close() twice does nothing, as files do."""
        connection = self._connect()
        connection.close()
        connection.close()

    def test_callproc(self):
        """callproc is optional: immudb has no procedures."""
        assert not hasattr(driver.Cursor, "callproc")

    def test_nextset(self):
        """nextset is optional: immudb answers with one result."""
        assert not hasattr(driver.Cursor, "nextset")

    def test_setoutputsize(self):
        """setoutputsize may do nothing: values come whole."""
        with self._connect() as connection:
            cursor = connection.cursor()
            cursor.setoutputsize(1)
            cursor.execute("SELECT 'whole'")
            assert cursor.fetchall() == [("whole",)]
