import json
from dataclasses import replace
from uuid import uuid4

import redis

from backendkit import stores
from backendkit.stores import ConflictError, DatabaseError, OperationalError

# Redis runs it alone. It writes nothing, unless all that was read is as it was read.
COMMIT = """
local commit = cjson.decode(ARGV[1])
for _, read in ipairs(commit.reads) do
    if (redis.call('HGET', read[1], read[2]) or '') ~= read[3] then return read[1] end
end
for _, command in ipairs(commit.commands) do redis.call(unpack(command)) end
"""
SHARED = replace(stores.MATCHED, multiple_processes=True, remote=True)


class RedisStore(stores.Store):
    capabilities = replace(SHARED, snapshots=False, serializable=True)

    def __init__(self, client, name):
        # The braces keep the keys of a database on one node of a cluster.
        self.client, self.prefix = client, f"{{{name}}}:"
        self.tables, self.catalog = f"{self.prefix}tables", stores.Catalog(None, {})

    def session(self):
        return RedisSession(self)

    def close(self):
        self.client.close()

    # The hash of the rows by their primary key, or by another unique index.
    def hash(self, table, index=""):
        return self.prefix + json.dumps([table.name, index])

    # The hash and the field that has the row with these unique values.
    def place(self, table, index, values):
        field = stores.key_to_text(table, table.unique[index], values)
        return self.hash(table, index), field


class RedisSession(stores.BufferedSession):
    driver_errors = {redis.RedisError: OperationalError, ValueError: DatabaseError}

    # The answers to commands, all of one moment.
    @stores.safe_call
    def read(self, *commands):
        pipe, tables = self.store.client.pipeline(), (self.store.tables, "")
        for command in (("HGET", *tables), *commands):
            pipe.execute_command(*command)
        version, *answers = pipe.execute()
        if self.reads.setdefault(tables, version or "") != (version or ""):
            raise ConflictError("another transaction has changed the tables")
        return answers

    # All rows. The field "" has another number after each commit.
    def scan(self, table):
        (found,) = self.read(("HGETALL", self.store.hash(table)))
        self.reads.setdefault((self.store.hash(table), ""), found.pop("", ""))
        found.pop("number", None)
        return (stores.row_from_json(table, text) for text in found.values())

    # The texts that are in these places.
    def look_up(self, places):
        texts = self.read(*(("HGET", *place) for place in places))
        for place, text in zip(places, texts, strict=True):
            self.reads.setdefault(place, text or "")
        return filter(None, texts)

    def _begin(self, *, write):
        # What the transaction has read, by hash and field; "" for nothing.
        self.reads, self.sizes, store = {}, {}, self.store
        self.read()
        version = self.reads[store.tables, ""]
        if version != store.catalog.version:
            (found,) = self.read(("HGETALL", store.tables))
            read = stores.Table.from_json
            tables = {name: read(text) for name, text in found.items() if name}
            store.catalog = stores.Catalog(version, tables)
        self.catalog_read = store.catalog

    def _end(self):
        self.sizes = {}

    def _catalog(self):
        return self.catalog_read

    def _query(self, table, columns, access):
        return RedisQuery(self, table, columns, access)

    def _estimated_rows(self, table):
        if table.name not in self.sizes:
            (self.sizes[table.name],) = self.read(("HLEN", self.store.hash(table)))
        return self.sizes[table.name]

    @stores.safe_call
    def _allocate(self, table, count, above):
        number = self.store.hash(table), "number"
        last = self.store.client.hincrby(*number, count)
        if last - count < above:  # a row has come with a larger number
            last = self.store.client.hincrby(*number, max(above - last, 0) + count)
        return last - count + 1

    @stores.safe_call
    def _apply(self, changes):
        first, then, tables = [], [], self.store.tables
        for change in changes:
            self.change(change, first, then)
        then += [["HSET", tables, "", uuid4().hex] for one in changes if one.redefined]
        reads = [[*place, text] for place, text in self.reads.items()]
        commit = json.dumps({"reads": reads, "commands": first + then})
        changed = self.store.client.eval(COMMIT, 1, tables, commit)
        if changed is not None:
            raise ConflictError(f"another transaction has changed {changed}")

    # Add the commands that change a table: first those that remove, then the others.
    def change(self, change, first, then):
        before, after, number = change.before, change.after, change.number
        rows = {row.key: row.new for row in change.rows}
        if before and (change.redefined or number is not None):
            last = next(self.look_up([(self.store.hash(before), "number")]), 0)
            number = number if change.reset else max(int(last), number or 0)
        if before and change.redefined:
            hashes = [self.store.hash(before, index) for index in before.unique]
            first += [["DEL", one] for one in hashes]
            first.append(["HDEL", self.store.tables, before.name])
            found = self.scan(before) if after else ()
            rows = {before.key_of(row): change.convert(row) for row in found} | rows
        for row in () if change.redefined else change.rows:
            if row.old is None:
                self.reads.setdefault(self.store.place(after, "", row.key), "")
            else:
                values = before.unique_values(row.old)
                first += [["HDEL", *self.store.place(before, *one)] for one in values]
        for row in filter(None, rows.values()):
            text = json.dumps(stores.row_to_json(after, row))
            values = after.unique_values(row)
            then += [["HSET", *self.store.place(after, *one), text] for one in values]
        if after:
            then.append(["HINCRBY", self.store.hash(after), "", "1"])
        if after and change.redefined:
            then.append(["HSET", self.store.tables, after.name, after.to_json()])
        if after and number is not None:
            then.append(["HSET", self.store.hash(after), "number", str(number)])


class RedisQuery(stores.MatchedQuery):
    def rows(self, index, keys):
        if keys is None:
            return self.session.scan(self.table)
        place = self.session.store.place
        places = dict.fromkeys(place(self.table, index, key) for key in keys)
        texts = self.session.look_up(places)
        return (stores.row_from_json(self.table, text) for text in texts)
