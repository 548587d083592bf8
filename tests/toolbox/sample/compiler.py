import datetime
import uuid
from decimal import Decimal

from django.db.utils import DatabaseError

from backendkit.toolbox import (
    NonrelCompiler,
    NonrelDeleteCompiler,
    NonrelInsertCompiler,
    NonrelQuery,
    NonrelUpdateCompiler,
    safe_call,
)

from .lowlevel import LowLevelError, LowLevelQuery, save_entity

OPERATORS_MAP = {
    "exact": "=",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "in": "in",
    "isnull": lambda lookup_type, value: ("=" if value else "!=", None),
}

NEGATION_MAP = {
    "exact": "!=",
    "gt": "<=",
    "gte": "<",
    "lt": ">=",
    "lte": ">",
    "in": "not in",
    "isnull": lambda lookup_type, value: ("!=" if value else "=", None),
}


class BackendQuery(NonrelQuery):
    driver_errors = {LowLevelError: DatabaseError}

    def __init__(self, compiler, fields):
        super(BackendQuery, self).__init__(compiler, fields)
        # The guide's LowLevelQuery isn't told which table it is for.
        self.db_query = LowLevelQuery(
            self.connection.db_connection, self.query.get_meta().db_table
        )

    @safe_call
    def add_filter(self, column, lookup_type, negated, db_type, value):
        # Emulated/converted lookups
        if column == self.query.get_meta().pk.column:
            column = "_id"

        if negated:
            try:
                op = NEGATION_MAP[lookup_type]
            except KeyError:
                raise DatabaseError("Lookup type %r can't be negated" % lookup_type)
        else:
            try:
                op = OPERATORS_MAP[lookup_type]
            except KeyError:
                raise DatabaseError("Lookup type %r isn't supported" % lookup_type)

        # Handle special-case lookup types
        if callable(op):
            op, value = op(lookup_type, value)

        db_value = self.convert_value_for_db(db_type, value)
        self.db_query.filter(column, op, db_value)

    @safe_call
    def order_by(self, ordering):
        for order in ordering:
            if order.startswith("-"):
                order, direction = order[1:], "DESC"
            else:
                direction = "ASC"
            if order == self.query.get_meta().pk.column:
                order = "_id"
            self.db_query.order(order, direction)

    @safe_call
    def fetch(self, low_mark, high_mark):
        if high_mark is None:
            # Infinite fetching
            results = self.db_query.fetch_infinite(offset=low_mark)
        elif high_mark > low_mark:
            # Range fetching
            results = self.db_query.fetch_range(high_mark - low_mark, low_mark)
        else:
            results = ()

        for entity in results:
            entity[self.query.get_meta().pk.column] = entity["_id"]
            del entity["_id"]
            yield entity

    @safe_call
    def count(self, limit=None):
        return self.db_query.count()

    @safe_call
    def delete(self):
        self.db_query.delete()


class SQLCompiler(NonrelCompiler):
    query_class = BackendQuery

    def convert_value_for_db(self, db_type, value):
        if db_type == "timestamp":
            return value.isoformat(" ")
        if db_type in ("date", "time"):
            return value.isoformat()
        if db_type in ("decimal", "uuid"):
            return str(value)
        if db_type == "hex":
            return value.hex()
        if db_type == "duration":
            return value // datetime.timedelta(microseconds=1)
        return value

    def convert_value_from_db(self, db_type, value):
        if db_type == "timestamp":
            return datetime.datetime.fromisoformat(value)
        if db_type == "date":
            return datetime.date.fromisoformat(value)
        if db_type == "time":
            return datetime.time.fromisoformat(value)
        if db_type == "decimal":
            return Decimal(value)
        if db_type == "uuid":
            return uuid.UUID(value)
        if db_type == "hex":
            return bytes.fromhex(value)
        if db_type == "duration":
            return value * datetime.timedelta(microseconds=1)
        return value


class SQLInsertCompiler(NonrelInsertCompiler, SQLCompiler):
    driver_errors = BackendQuery.driver_errors

    @safe_call
    def insert(self, data, return_id=False):
        pk_column = self.query.get_meta().pk.column
        if pk_column in data:
            data["_id"] = data[pk_column]
            del data[pk_column]

        pk = save_entity(
            self.connection.db_connection, self.query.get_meta().db_table, data
        )
        return pk


class SQLUpdateCompiler(NonrelUpdateCompiler, SQLCompiler):
    pass


class SQLDeleteCompiler(NonrelDeleteCompiler, SQLCompiler):
    pass
