"""Random SQL over a small schema that has a bit of everything."""

import random

from hypothesis import strategies as st

SCHEMA = [
    """CREATE TABLE a (
        id integer PRIMARY KEY,
        n integer CHECK (n < 100),
        x real,
        s text,
        d decimal(8, 2),
        b bool,
        t date,
        z blob,
        c text COLLATE NOCASE,
        g integer GENERATED ALWAYS AS (n + 1) STORED
    )""",
    "CREATE INDEX a_n ON a (n)",
    "CREATE INDEX a_t_n ON a (t, n DESC)",
    "CREATE INDEX a_c ON a (c)",
    "CREATE INDEX a_lower ON a (lower(s))",
    """CREATE TABLE p (
        k text NOT NULL,
        m integer NOT NULL,
        n integer,
        u integer UNIQUE,
        w text NOT NULL DEFAULT 'w',
        e datetime,
        PRIMARY KEY (k, m)
    )""",
    "CREATE INDEX p_n ON p (n, w)",
    "CREATE UNIQUE INDEX p_some ON p (w, e) WHERE n > 2",
    "CREATE TABLE r (n integer CHECK (n <> 77), s text, f duration bigint, i uuid char(32))",
    "CREATE VIEW v AS SELECT id AS vid, s AS vs, n AS vn FROM a WHERE n IS NOT NULL",
]

TEXT = ["", "a", "A", "b", "ab", "aB", "5", "05", "%", "_", "é", "2024-01-02"]
VALUES = {
    "integer": [-1, 0, 1, 2, 3, 5, 99],
    "real": [-1.5, 0.0, 0.5, 1.0, 2.0, 2.5],
    "text": TEXT,
    "decimal": [-0.5, 0, 1, 1.25, 2.5, 100],
    "bool": [0, 1],
    "date": ["2024-01-01", "2024-01-02", "2024-02-01", "1999-12-31"],
    "datetime": ["2024-01-01 00:00:00", "2024-01-02 12:30:00.500000"],
    "blob": [b"", b"a", b"\x00", b"\xc3\xa9"],
    "duration": [-1, 0, 1, 1_500_000],
    "uuid": ["0" * 31 + "1", "a" * 32, "5" * 32],
}
COLUMNS = {
    "a": {
        "id": "integer",
        "n": "integer",
        "x": "real",
        "s": "text",
        "d": "decimal",
        "b": "bool",
        "t": "date",
        "z": "blob",
        "c": "text",
        "g": "integer",
    },
    "p": {
        "k": "text",
        "m": "integer",
        "n": "integer",
        "u": "integer",
        "w": "text",
        "e": "datetime",
    },
    "r": {"n": "integer", "s": "text", "f": "duration", "i": "uuid"},
    "v": {"vid": "integer", "vs": "text", "vn": "integer"},
}
#: What tells rows of a table apart.
KEYS = {"a": ["id"], "p": ["k", "m"], "r": ["rowid"], "v": ["vid"]}
TABLES = ["a", "p", "r"]
GENERATED = {"g"}


def inserts(table, seed, count):
    """Return the INSERTs that fill a table: those that fail do so everywhere."""
    chance = random.Random(seed)
    names = [name for name in COLUMNS[table] if name not in GENERATED]
    marks = ", ".join("?" * len(names))
    sql = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({marks})"
    for number in range(1, count + 1):
        row = []
        for name in names:
            if name == "id":
                row.append(number * 2)
            elif chance.random() < 0.2 and name not in {"k", "m", "w"}:
                row.append(None)
            elif name == "u":
                row.append(number)
            else:
                row.append(chance.choice(VALUES[COLUMNS[table][name]]))
        yield sql, row


class Builder:
    """Builds one statement, with its parameters, from what hypothesis draws."""

    def __init__(self, draw):
        self.draw = draw
        self.aliases = 0

    def pick(self, options):
        return self.draw(st.sampled_from(options))

    def chance(self, part):
        """Whether something happens that should in one of so many cases."""
        return self.draw(st.integers(1, part)) == part

    def alias(self):
        self.aliases += 1
        return f"q{self.aliases}"

    # Values

    def literal(self, kind=None):
        """A value as SQL, most often of the kind asked for."""
        if kind is None or self.chance(8):
            kind = self.pick(sorted(VALUES))
        if self.chance(12):
            return "NULL"
        value = self.pick(VALUES[kind])
        if isinstance(value, bytes):
            return f"x'{value.hex()}'"
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        return str(value)

    def column(self, scope, kind=None):
        """A column of the tables in scope: SQL and kind."""
        alias, table = self.pick(scope)
        names = [n for n, k in COLUMNS[table].items() if kind in (None, k)]
        name = self.pick(names or sorted(COLUMNS[table]))
        return f"{alias}.{name}", COLUMNS[table][name]

    def expression(self, scope, depth=1):
        """An expression: SQL and kind."""
        sql, kind = self.column(scope)
        if not depth or not self.chance(4):
            return sql, kind
        form = self.pick(["plus", "coalesce", "lower", "length", "case", "cast", "sub"])
        if form == "plus":
            return f"({sql} + {self.literal('integer')})", "real"
        if form == "coalesce":
            return f"coalesce({sql}, {self.literal(kind)})", kind
        if form == "lower":
            return f"lower({sql})", "text"
        if form == "length":
            return f"length({sql})", "integer"
        if form == "cast":
            to = self.pick(["text", "integer", "real", "blob", "numeric"])
            return f"CAST({sql} AS {to})", kind
        if form == "sub":
            return f"({self.scalar(scope)})", "integer"
        condition = self.condition(scope, 0)
        other, _ = self.column(scope, kind)
        return f"CASE WHEN {condition} THEN {sql} ELSE {other} END", kind

    # Conditions

    def condition(self, scope, depth=2):
        if depth and self.chance(2):
            form = self.pick(["AND", "AND", "OR", "NOT"])
            first = self.condition(scope, depth - 1)
            if form == "NOT":
                return f"NOT ({first})"
            return f"({first} {form} {self.condition(scope, depth - 1)})"
        return self.comparison(scope, depth)

    def comparison(self, scope, depth):
        sql, kind = self.column(scope)
        if self.chance(4):
            sql, kind = self.expression(scope, depth)
        forms = ["value", "value", "value", "column", "null", "list", "between", "like"]
        if depth:
            forms += ["subquery", "exists", "scalar"]
        form = self.pick(forms)
        operator = self.pick(["=", "=", "<", "<=", ">", ">=", "<>", "IS", "IS NOT"])
        negation = "NOT " if self.chance(3) else ""
        if form == "value":
            return f"{sql} {operator} {self.literal(kind)}"
        if form == "column":
            return f"{sql} {operator} {self.column(scope, kind)[0]}"
        if form == "null":
            return f"{sql} IS {negation}NULL"
        if form == "list":
            count = self.draw(st.integers(1, 4))
            values = ", ".join(self.literal(kind) for _ in range(count))
            return f"{sql} {negation}IN ({values})"
        if form == "between":
            low, high = self.literal(kind), self.literal(kind)
            return f"{sql} {negation}BETWEEN {low} AND {high}"
        if form == "like":
            pattern = self.pick(["'a%'", "'%b'", "'%'", "'a_'", "''", "'5%'"])
            escape = self.pick(["", "", " ESCAPE '\\'"])
            return f"{sql} {negation}LIKE {pattern}{escape}"
        if form == "scalar":
            return f"{sql} {operator} ({self.scalar(scope)})"
        table = self.pick(TABLES)
        inner = self.alias()
        one = [(inner, table)]
        where = self.condition(one if form == "subquery" else one + scope[:1], 0)
        if form == "exists":
            return f"{negation}EXISTS (SELECT 1 FROM {table} {inner} WHERE {where})"
        if self.chance(3):
            where = self.pick(["0", f"{inner}.n > 1000"])
        # Text isn't looked for among numbers: a virtual table that is asked row by
        # row isn't told that '05' is to be taken for a number there.
        column, found = self.column(one, kind)
        if kind in {"text", "uuid"} and found not in {"text", "uuid"}:
            column = f"CAST({column} AS text)"
        return (
            f"{sql} {negation}IN (SELECT {column} FROM {table} {inner} WHERE {where})"
        )

    def scalar(self, scope):
        table, inner = self.pick(TABLES), self.alias()
        column, _ = self.column([(inner, table)])
        what = self.pick(["min({})", "max({})", "count({})"]).format(column)
        where = self.condition([(inner, table), *scope[:1]], 0)
        return f"SELECT {what} FROM {table} {inner} WHERE {where}"

    # Queries

    def source(self):
        """A FROM clause: SQL and scope."""
        count = self.pick([1, 1, 1, 2, 2, 3])
        scope, parts = [], []
        for number in range(count):
            table, alias = self.pick([*TABLES, *TABLES, "v"]), self.alias()
            scope.append((alias, table))
            if not number:
                parts.append(f"{table} {alias}")
                continue
            words = ["JOIN", "JOIN", "LEFT JOIN", "CROSS JOIN"]
            if number == 1:
                words += ["RIGHT JOIN", "FULL JOIN"]
            join = self.pick(words)
            mine, kind = self.column([(alias, table)])
            theirs, _ = self.column(scope[:-1], kind)
            on = f"{mine} = {theirs}"
            # SQLite itself loses rows of a RIGHT JOIN with LIKE in its ON clause.
            if join not in {"RIGHT JOIN", "FULL JOIN"} and self.chance(3):
                on += f" AND {self.condition(scope, 0)}"
            parts.append(f"{join} {table} {alias} ON {on}")
        return " ".join(parts), scope

    def where(self, scope):
        return f" WHERE {self.condition(scope)}" if not self.chance(4) else ""

    def select(self):
        """
        A SELECT and how its results are compared.

        :returns: SQL without LIMIT, LIMIT clause, number of the last columns that
            the rows are ordered by.
        """
        form = self.pick(
            ["rows"] * 5 + ["distinct", "group", "group", "compound", "window", "cte"]
        )
        return getattr(self, f"_{form}")()

    def limit(self):
        if not self.chance(2):
            return ""
        limit = f" LIMIT {self.pick([0, 1, 2, 5, 100, -1])}"
        if self.chance(2):
            limit += f" OFFSET {self.pick([0, 1, 3, 50, -1])}"
        return limit

    def order(self, terms):
        directions = ["", "", " DESC", " NULLS LAST", " DESC NULLS FIRST"]
        return ", ".join(term + self.pick(directions) for term in terms)

    def _rows(self):
        source, scope = self.source()
        count = self.draw(st.integers(1, 4))
        columns = [self.expression(scope)[0] for _ in range(count)]
        keys = []
        if not self.chance(3):
            count = self.draw(st.integers(1, 2))
            keys = [self.column(scope)[0] for _ in range(count)]
            if self.chance(2):
                alias, table = scope[0]
                keys += [f"{alias}.{name}" for name in KEYS[table]]
        sql = f"SELECT {', '.join(columns + keys)} FROM {source}{self.where(scope)}"
        if keys:
            # By number would sort by results; by name the store may sort.
            sql += f" ORDER BY {self.order(keys)}"
        return sql, self.limit(), len(keys)

    def _distinct(self):
        source, scope = self.source()
        columns = [self.column(scope)[0] for _ in range(self.pick([1, 2]))]
        sql = f"SELECT DISTINCT {', '.join(columns)} FROM {source}{self.where(scope)}"
        if self.chance(2):
            return f"{sql} ORDER BY {self.order(columns)}", self.limit(), len(columns)
        return sql, self.limit(), 0

    def _group(self):
        source, scope = self.source()
        keys = [self.column(scope)[0] for _ in range(self.pick([0, 1, 1, 2]))]
        # Of text that is equal in its collation, any may stand for the group.
        keys = [f"{key} COLLATE BINARY" for key in keys]
        aggregates = []
        for _ in range(self.pick([1, 2, 3])):
            column, _ = self.column(scope)
            call = self.pick(
                [
                    "count(*)",
                    "count({})",
                    "count(DISTINCT {})",
                    "sum({})",
                    "total({})",
                    "min(lower({}))",
                    "max(lower({}))",
                    "avg({})",
                ]
            )
            if self.chance(5):
                call += f" FILTER (WHERE {self.condition(scope, 0)})"
            aggregates.append(call.replace("{}", column))
        sql = f"SELECT {', '.join(aggregates + keys)} FROM {source}{self.where(scope)}"
        if keys:
            sql += f" GROUP BY {', '.join(keys)}"
            if self.chance(3):
                sql += f" HAVING count(*) > {self.pick([0, 1, 2])}"
            if self.chance(2):
                sql += f" ORDER BY {self.order(keys)}"
                return sql, self.limit(), len(keys)
        return sql, self.limit(), 0

    def _compound(self):
        parts = []
        for _ in range(self.pick([2, 2, 3])):
            source, scope = self.source()
            # Without NOCASE: which of several equal texts remains isn't defined.
            columns = (
                f"{self.column(scope)[0]} || '', {self.column(scope, 'integer')[0]}"
            )
            parts.append(f"SELECT {columns} FROM {source}{self.where(scope)}")
        sql = parts[0]
        for part in parts[1:]:
            sql += f" {self.pick(['UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT'])} {part}"
        if self.chance(2):
            return f"{sql} ORDER BY {self.order(['1', '2'])}", self.limit(), 2
        return sql, "", 0

    def _window(self):
        table, alias = self.pick(TABLES), self.alias()
        scope = [(alias, table)]
        total = ", ".join(f"{alias}.{name}" for name in KEYS[table])
        part = self.pick(["", f"PARTITION BY {self.column(scope)[0]} "])
        over = f"OVER ({part}ORDER BY {total})"
        call = self.pick(["row_number()", "count(*)", "lag({})", "first_value({})"])
        call = call.format(self.column(scope)[0])
        sql = f"SELECT {call} {over}, {total} FROM {table} {alias}{self.where(scope)}"
        return sql, "", 0

    def _cte(self):
        inner, scope = self.source()
        first, kind = self.column(scope)
        where = self.where(scope)
        table, alias = self.pick(TABLES), self.alias()
        mine, _ = self.column([(alias, table)], kind)
        body = f"SELECT {first} AS y, count(*) AS many FROM {inner}{where} GROUP BY 1"
        if self.chance(4):
            body = "VALUES (0, 1) UNION ALL SELECT y + 1, many FROM w WHERE y < 5"
            how = "RECURSIVE "
        else:
            how = self.pick(["", "MATERIALIZED", "NOT MATERIALIZED"])
            body, how = f"{how} ({body})", ""
            sql = f"WITH w (y, many) AS {body}"
        if how:
            sql = f"WITH RECURSIVE w (y, many) AS ({body})"
        join = self.pick(["JOIN", "LEFT JOIN"])
        sql += f" SELECT {mine}, w.many FROM {table} {alias} {join} w ON w.y = {mine}"
        return sql, "", 0

    # Writes

    def write(self):
        """An INSERT, UPDATE or DELETE."""
        return getattr(
            self, f"_{self.pick(['insert', 'update', 'update', 'delete'])}"
        )()

    def _delete(self):
        table = self.pick(TABLES)
        where = self.condition([(table, table)])
        return f"DELETE FROM {table} WHERE {where}"

    def _update(self):
        table = self.pick(TABLES)
        scope = [(table, table)]
        names = [
            name
            for name in COLUMNS[table]
            if name not in GENERATED and name not in KEYS[table] and name != "e"
        ]
        sets = []
        for name in self.draw(
            st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
        ):
            kind = COLUMNS[table][name]
            value = self.proper(name, kind)
            # In p, n decides on uniqueness: rows change in no defined order.
            if kind == "integer" and table != "p" and self.chance(2):
                value = f"{name} + {self.pick([1, -1, 0])}"
            sets.append(f"{name} = {value}")
        where = self.condition(scope)
        return f"UPDATE {table} SET {', '.join(sets)} WHERE {where}"

    def _insert(self):
        table = self.pick(TABLES)
        verb = self.pick(["INSERT", "INSERT", "INSERT OR IGNORE", "REPLACE"])
        names = [name for name in COLUMNS[table] if name not in GENERATED]
        kept = [n for n in names if n in KEYS[table] or not self.chance(4)]
        kept = kept or names
        into = f"{verb} INTO {table} ({', '.join(kept)})"
        if self.chance(5) and table == "r":
            return "INSERT INTO r (n, s) SELECT m, w FROM p WHERE n > 1 ORDER BY k, m"
        rows = []
        for _ in range(self.pick([1, 1, 2, 3])):
            values = [self.proper(name, COLUMNS[table][name]) for name in kept]
            rows.append(f"({', '.join(values)})")
        return f"{into} VALUES {', '.join(rows)}"

    def proper(self, name, kind):
        """A literal of the kind itself, sometimes NULL."""
        if name == "id":
            return str(self.draw(st.integers(1, 60)))
        if name == "u":
            return self.pick(["NULL", "1", "2", "70", "71"])
        if self.chance(6):
            return "NULL"
        if name == "n" and self.chance(8):
            return "100"
        value = self.pick(VALUES[kind])
        if isinstance(value, bytes):
            return f"x'{value.hex()}'"
        return f"'{value}'" if isinstance(value, str) else str(value)


@st.composite
def selects(draw):
    """SELECTs; see :meth:`Builder.select`."""
    return Builder(draw).select()


@st.composite
def writes(draw):
    """INSERTs, UPDATEs and DELETEs."""
    return Builder(draw).write()
