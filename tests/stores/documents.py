"""The sample of ``docs/howto/write-a-store.rst``: a store that has operators."""

from decimal import Decimal

from backendkit import stores
from backendkit.backends.memory.store import MemorySession, MemoryStore
from backendkit.stores import Capabilities, Precision, ValueType
from tests.toolbox.sample.lowlevel import Connection, LowLevelQuery, save_entity


class DocumentStore(MemoryStore):
    capabilities = Capabilities(
        filters=dict.fromkeys(("exact", "gt", "in", "isnull"), Precision.COARSE),
        filters_by_type={
            ValueType.DECIMAL: dict.fromkeys(("exact", "gt", "in"), Precision.NONE)
        },
        negations=frozenset({"isnull"}),
    )

    def session(self):
        return DocumentSession(self)

    def convert_value_for_db(self, db_type, value):
        return str(value) if db_type is ValueType.DECIMAL else value

    def convert_value_from_db(self, db_type, value):
        return Decimal(value) if db_type is ValueType.DECIMAL else value


class DocumentSession(MemorySession):
    """Queries ask a copy of the rows, as documents."""

    def query(self, table, columns, access):
        connection = Connection(f"documents-{id(self)}")
        connection.collections.clear()
        for key, row in self.read(table.name).items():
            entity = self.store.entity(table, row)
            save_entity(connection, table.name, {**entity, "_id": list(key)})
        connection.asked.clear()
        return DocumentQuery(self, table, columns, access, connection)


class DocumentQuery(stores.NonrelQuery):
    OPERATORS_MAP = {
        "exact": "=",
        "gt": ">",
        "in": "in",
        "isnull": lambda lookup_type, value: ("=", None),
    }
    NEGATION_MAP = {
        "isnull": lambda lookup_type, value: ("!=", None),
    }

    def __init__(self, session, table, columns, access, connection):
        super().__init__(session, table, columns, access)
        self.db_query = LowLevelQuery(connection, table.name)

    def filter(self, column, operator, value):
        self.db_query.filter(column, operator, value)

    def fetch(self, low_mark=0, high_mark=None):
        yield from self.db_query.fetch_infinite(0)
