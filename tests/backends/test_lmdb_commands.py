"""The management commands of the LMDB backend, each in a process of its own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import lmdb
import pytest
from tests.waiting import PATIENCE

import backendkit
from backendkit.backends.lmdb.files import DATA_FILE, LOCK_FILE
from backendkit.backends.lmdb.management import compacting
from backendkit.backends.lmdb.store import LMDBStore
from backendkit.kv.codec import pack
from backendkit.kv.keys import encode_int
from backendkit.kv.layout import index_prefix, numbers_key, rows_prefix

SOURCE = os.path.dirname(os.path.dirname(backendkit.__file__))
MANAGE = """
import sys
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["backendkit.backends.lmdb"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        "one": {
            "ENGINE": "backendkit.backends.lmdb", "NAME": "one",
            "OPTIONS": {"timeout": 0.2},
        },
        "other": {"ENGINE": "backendkit.backends.lmdb", "NAME": "other"},
        "readonly": {
            "ENGINE": "backendkit.backends.lmdb", "NAME": "one",
            "OPTIONS": {"readonly": True, "max_size": 5 << 20},
        },
        "broken": {"ENGINE": "no.such.engine"},
    },
)
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
# Forks for each command, when all is loaded: a process of its own without its start.
SERVER = (
    """
import json, os, resource, signal, sys, traceback
sys.argv = ["manage.py", "help"]
sys.stdout = open(os.devnull, "w")
"""
    + MANAGE
    + """
sys.stdout = sys.__stdout__
from django.core.management import load_command_class
for name in ("lmdb_check", "lmdb_compact", "lmdb_info"):
    load_command_class("backendkit.backends.lmdb", name)
import backendkit.backends.lmdb.base
for line in sys.stdin:
    folder, arguments, limit = json.loads(line)
    pid = os.fork()
    if not pid:
        os.chdir(folder)
        for number, name in enumerate(["/dev/null", "stdout", "stderr"]):
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(name, flags if number else os.O_RDONLY), number)
        if limit:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        status = 99
        try:
            execute_from_command_line(["manage.py", *arguments])
            status = 0
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
)
TABLES = """
CREATE TABLE author (id integer PRIMARY KEY AUTOINCREMENT, name varchar(40) UNIQUE);
CREATE TABLE book (
    id integer PRIMARY KEY AUTOINCREMENT,
    title text,
    author_id bigint REFERENCES author (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX book_author ON book (author_id);
"""


def started(folder, *arguments):
    """Start Python in a folder."""
    environment = {k: v for k, v in os.environ.items() if k[:7] != "DJANGO_"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": SOURCE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A process that runs commands."""
    server = started(tmp_path_factory.mktemp("server"), "-c", SERVER)
    yield server
    server.kill()
    server.communicate()


class Project:
    """A folder with a database named ``one``."""

    def __init__(self, path, server):
        self.path = path
        self.server = server
        (path / "manage.py").write_text(MANAGE)
        self.database = path / "one"
        self.data = self.database / DATA_FILE

    def start(self, *arguments):
        """Start Python in the folder."""
        return started(self.path, *arguments)

    def manage(self, *arguments, status=0, limit=None):
        """
        Run a command; return what it printed.

        :param limit: the greatest size of a file that it may write, in bytes.
        """
        request = json.dumps([str(self.path), arguments, limit])
        self.server.stdin.write(f"{request}\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        assert answer, self.server.stderr.read()
        output = "".join(
            (self.path / name).read_text() for name in ("stdout", "stderr")
        )
        assert int(answer) == status, output
        return output

    @contextlib.contextmanager
    def process(self, text):
        """Let a script run beside; it has to print a line first."""
        process = self.start("-c", textwrap.dedent(text))
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            yield process
        finally:
            process.kill()
            process.communicate()

    def run(self, *statements):
        """Execute statements."""
        connection = self.connect()
        try:
            cursor = connection.cursor()
            rows = []
            for statement in statements:
                cursor.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
            return rows
        finally:
            connection.close()

    def connect(self):
        from backendkit.engine import dbapi

        return dbapi.connect(LMDBStore.open(self.database, {"sync": False}))

    @contextlib.contextmanager
    def raw(self, **options):
        """Write to LMDB itself."""
        environment = lmdb.open(str(self.database), **options)
        try:
            with environment.begin(write=True) as transaction:
                yield transaction
        finally:
            environment.close()


@pytest.fixture
def project(tmp_path, server):
    project = Project(tmp_path, server)
    project.run(*filter(str.strip, TABLES.split(";")))
    project.run(
        "INSERT INTO author (name) VALUES ('Ada'), ('Bob'), ('Cleo')",
    )
    project.run(
        "INSERT INTO book (title, author_id) VALUES ('A', 1), ('B', 1), ('C', 2)"
    )
    return project


def numbers_of(project):
    """Return the numbers of the tables and indexes, by name."""
    session = LMDBStore.open(project.database).session()
    session.begin(write=False)
    try:
        numbers = {}
        for table in session.catalog().tables.values():
            record = session.record(table)
            numbers[table.name] = record.id
            for index in table.indexes:
                numbers[index.columns] = record.index_ids[index.name]
        return numbers
    finally:
        session.close()
        session.store.close()


def held_open(how):
    """Return a script that has the database open."""
    return f"""
        from backendkit.backends.lmdb.store import LMDBStore
        store = LMDBStore.open("one"{how})
        print("ready", flush=True)
        input()
        """


class TestAll:
    COMMANDS = (
        ["lmdb_info"],
        ["lmdb_check"],
        ["lmdb_compact", "--output", "copy"],
        ["lmdb_compact", "--in-place"],
    )

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_a_database_that_is_not_ours(self, project, command):
        """It is refused, and those that would do are named; nothing is made."""
        names = "one, other, readonly"
        assert project.manage(*command, status=2) == (
            "CommandError: the database 'default' isn't one of LMDB. The aliases of such databases are:"
            f" {names}\n"
        )
        assert (
            f"DATABASES has no alias 'what'. The aliases of such databases are: {names}"
            in project.manage(*command, "--database", "what", status=2)
        )
        assert "'broken' isn't one of LMDB" in project.manage(
            *command, "--database=broken", status=2
        )
        assert "There is no database in other." in project.manage(
            *command, "--database", "other", status=2
        )
        assert not (project.path / "other").exists()
        assert not (project.path / "copy").exists()

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_a_file_that_is_not_ours(self, project, command):
        """What isn't a database of ours is left as it is."""
        stranger = b"a stranger's" * 1000
        project.data.write_bytes(stranger)
        output = project.manage(*command, "--database", "one", status=2)
        assert output.startswith("CommandError: ")
        assert project.data.read_bytes() == stranger

    @pytest.mark.parametrize("command", ["lmdb_info", "lmdb_check", "lmdb_compact"])
    def test_help(self, project, command):
        output = project.manage(command, "--help")
        assert "--database ALIAS" in output
        assert "LMDB" in output.split("options:")[0]

    def test_an_app(self, project):
        """To have it among the apps loads neither LMDB nor a backend."""
        process = project.start(
            "-c",
            "import sys, django\n"
            "from django.conf import settings\n"
            "settings.configure(INSTALLED_APPS=['backendkit.backends.lmdb'])\n"
            "django.setup()\n"
            "print({'lmdb', 'apsw', 'msgspec', 'backendkit.kv'} & {*sys.modules})",
        )
        assert process.communicate()[0] == "set()\n"


class TestInfo:
    def test_json(self, project):
        info = json.loads(project.manage("lmdb_info", "--database", "one", "--json"))
        assert info["path"] == str(project.database)
        assert info["lmdb_version"] == ".".join(map(str, lmdb.version()))
        assert info["file_size"] == project.data.stat().st_size
        assert info["disk_size"] == project.data.stat().st_blocks * 512
        assert info["page_size"] == os.sysconf("SC_PAGESIZE")
        assert info["used"] == info["pages"] * info["page_size"] <= info["file_size"]
        assert 0 <= info["free_pages"] < info["pages"]
        assert info["map_size"] >= info["file_size"]
        assert info["max_size"] is None
        assert info["last_transaction"] > 3
        assert info["last_written"].endswith("+00:00")
        assert info["readers"] == []
        tables = {table["name"]: table for table in info["tables"]}
        assert tables["author"]["rows"] == tables["book"]["rows"] == 3
        assert tables["book"]["index_bytes"] > 0
        project.run("CREATE TABLE wide (id integer PRIMARY KEY, t text)")
        project.run(f"INSERT INTO wide VALUES (1, '{'x' * 100_000}')")
        more = json.loads(project.manage("lmdb_info", "--database", "one", "--json"))
        (wide,) = (table for table in more["tables"] if table["name"] == "wide")
        assert 100_000 < wide["row_bytes"] < 100_100
        assert wide["index_bytes"] == 0
        assert more["used"] >= info["used"] + 100_000

    def test_free_pages(self, project):
        """What a deleted row took is free to be used again."""
        project.run("CREATE TABLE wide (id integer PRIMARY KEY, t text)")
        project.run(f"INSERT INTO wide VALUES (1, '{'x' * 400_000}')")
        project.run("DELETE FROM wide")
        info = json.loads(project.manage("lmdb_info", "--database", "one", "--json"))
        assert info["free_pages"] * info["page_size"] >= 400_000

    def test_text(self, project):
        output = project.manage("lmdb_info", "--database", "one")
        for word in ("Database:", "Free pages:", "Last transaction:", "index bytes"):
            assert word in output
        quick = project.manage("lmdb_info", "--database", "one", "--quick")
        assert "index bytes" not in quick
        assert quick.splitlines()[-1].split() == ["book", "3"]

    def test_no_tables(self, project):
        LMDBStore.open(project.path / "other").close()
        assert "No tables." in project.manage("lmdb_info", "--database", "other")

    def test_readers(self, project):
        """Who reads is named with the transaction that it sees."""
        with project.process(READING) as process:
            output = project.manage("lmdb_info", "--database", "one", "--json")
            (reader,) = json.loads(output)["readers"]
            assert reader["pid"] == process.pid
            assert reader["transaction"] > 0
            assert not reader["stale"]
            text = project.manage("lmdb_info", "--database", "one")
            assert (
                f"  process {process.pid}, transaction {reader['transaction']}" in text
            )

    def test_a_killed_reader(self, project):
        """A process that has the database open sees who read, and is gone."""
        looking = """
            import os, sys
            sys.argv, sys.stdout = ["manage.py", "help"], open(os.devnull, "w")
            exec(open("manage.py").read())
            sys.stdout = sys.__stdout__
            from django.core.management import call_command
            from django.db import connections
            connections["one"].ensure_connection()
            print("ready", flush=True)
            input()
            call_command("lmdb_info", "--database=one")
            """
        with project.process(looking) as process:
            with project.process(READING) as reader:
                pass
            output, errors = process.communicate("go\n", timeout=PATIENCE)
        assert f"  process {reader.pid}, transaction" in output, errors
        assert "which has ended: its slot is stale" in output

    def test_readonly(self, project):
        before = project.data.read_bytes()
        output = project.manage("lmdb_info", "--database", "readonly")
        assert "author" in output
        assert "5.0 MiB\n" in output
        assert project.data.read_bytes() == before


READING = """
    from backendkit.backends.lmdb.store import LMDBStore
    session = LMDBStore.open("one").session()
    session.begin(write=False)
    session.catalog()
    print("ready", flush=True)
    input()
    """


WAITING = """
import sys
from backendkit.engine import dbapi
from backendkit.backends.lmdb.store import LMDBStore
readonly = len(sys.argv) > 1
print("opening", flush=True)
connection = dbapi.connect(LMDBStore.open("one", {"readonly": readonly}))
cursor = connection.cursor()
cursor.execute("SELECT * FROM author")
print(cursor.fetchall(), flush=True)
input()
cursor.execute("SELECT * FROM author")
print(cursor.fetchall())
if not readonly:
    cursor.execute("INSERT INTO author (name) VALUES ('Eve')")
"""


class TestCheck:
    def check(self, project, *arguments, status=0):
        return project.manage(
            "lmdb_check", "--database", "one", *arguments, status=status
        )

    def test_nothing_wrong(self, project):
        before = project.data.read_bytes()
        assert self.check(project) == "2 tables with 6 rows: no problems found\n"
        assert self.check(project, "--repair") == self.check(project)
        assert project.data.read_bytes() == before

    def test_all_that_can_be_repaired(self, project):
        """Damage of every such kind is found, repaired, and gone then."""
        number = numbers_of(project)
        names, authors = (
            index_prefix(number[("name",)]),
            index_prefix(number[("author_id",)]),
        )
        with project.raw() as raw:
            assert raw.delete(names + b"\x01Ada\x00")
            raw.put(names + b"\x01Zoe\x00", encode_int(2))
            raw.put(names + b"\x01Cleo\x00", encode_int(1))
            assert raw.delete(authors + encode_int(2) + encode_int(3))
            raw.put(authors + encode_int(9) + encode_int(99), encode_int(99))
            raw.put(numbers_key(number["author"]), pack((50, 1)))
            raw.put(index_prefix(1000) + b"\x80", b"")
        elsewhere = "which doesn't exist or has other values"
        lines = [
            "author: index {}: row 1: its entry is missing",
            "author: index {}: row 3: its entry leads to 1",
            f"author: index {{}}: 'Zoe': leads to 2, {elsewhere}",
            "author: the row count is 50, but there are 3 rows",
            "author: the next automatic number is 2, but there is a row with 3",
            "book: index book_author: row 3: its entry is missing",
            f"book: index book_author: 9: leads to 99, {elsewhere}",
            "1 entries of index number 1000, which doesn't exist",
        ]
        found = self.check(project, status=1).splitlines()
        unique = found[0].split(": ")[1].removeprefix("index ")
        expected = [line.format(unique) for line in lines]
        assert found == [*expected, "2 tables with 6 rows: 8 findings"]
        repaired = self.check(project, "--repair").splitlines()
        assert repaired == [
            *(f"{line} (repaired)" for line in expected),
            "2 tables with 6 rows: 8 findings, 8 of them repaired",
        ]
        assert "no problems found" in self.check(project)
        assert project.run("SELECT id FROM author WHERE name = 'Ada'") == [(1,)]
        assert project.run("SELECT id FROM author WHERE name = 'Zoe'") == []
        assert project.run("SELECT count(*) FROM author") == [(3,)]
        project.run("INSERT INTO author (name) VALUES ('Dan')")
        assert project.run("SELECT max(id) FROM author") == [(4,)]

    def test_rows_are_left(self, project):
        """A row that can't be read is reported, before and after a repair."""
        number = numbers_of(project)
        key = rows_prefix(number["book"]) + encode_int(2)
        with project.raw() as raw:
            raw.put(key, b"\xc1 damaged")
            raw.put(numbers_key(number["book"]), pack((7, 3)))
        output = self.check(project, status=1)
        assert "book: row 2: its row can't be read: " in output
        assert "not all foreign keys are checked" in output
        output = self.check(project, "--repair", status=1)
        assert "2 findings, 1 of them repaired" in output
        output = self.check(project, status=1)
        assert "book: row 2: its row can't be read: " in output
        assert "1 findings" in output
        with project.raw() as raw:
            assert raw.get(key) == b"\xc1 damaged"

    def test_foreign_keys(self, project):
        """A row that refers to nothing is reported; no repair invents its partner."""
        number = numbers_of(project)
        name = index_prefix(number[("name",)]) + b"\x01Bob\x00"
        with project.raw() as raw:
            assert raw.delete(rows_prefix(number["author"]) + encode_int(2))
            assert raw.delete(name)
            raw.put(numbers_key(number["author"]), pack((2, 3)))
        line = "book: row 3: author_id = 2 has no corresponding row in author\n"
        for arguments in ([], ["--repair"]):
            assert self.check(project, *arguments, status=1).startswith(line)

    def test_a_damaged_catalog(self, project):
        number = numbers_of(project)
        with project.raw() as raw:
            raw.put(b"\x01" + encode_int(number["author"]), b"{")
        before = project.data.read_bytes()
        for arguments in ([], ["--repair"]):
            output = self.check(project, *arguments, status=1)
            assert "the definition of a table can't be read" in output
            assert "Foreign keys aren't checked" in output
        assert project.data.read_bytes() == before

    def test_limit(self, project):
        """However much is wrong, the output stays readable."""
        with project.raw() as raw:
            for key in range(50):
                raw.put(b"z%d" % key, b"")
        lines = self.check(project, "--limit", "3", status=1).splitlines()
        assert lines[3:] == ["… and 47 more", "2 tables with 6 rows: 50 findings"]
        assert self.check(project, "--limit=0", status=1).startswith("… and 50 more\n")
        assert "0 or more" in self.check(project, "--limit=-1", status=2)

    def test_while_another_process_writes(self, project):
        """A check waits for nobody; a repair says who it would have to wait for."""
        writing = """
            from backendkit.backends.lmdb.store import LMDBStore
            session = LMDBStore.open("one").session()
            session.begin(write=True)
            print("ready", flush=True)
            input()
            """
        with project.process(writing) as process:
            assert "no problems found" in self.check(project)
            output = self.check(project, "--repair", status=2)
            assert f"process {process.pid}" in output

    def test_readonly(self, project):
        arguments = ["lmdb_check", "--database", "readonly"]
        assert "no problems found" in project.manage(*arguments)
        output = project.manage(*arguments, "--repair", status=2)
        assert "readonly" in output

    def test_a_damaged_page(self, project):
        """What LMDB itself can't read is an error, not a crash."""
        project.run(
            "INSERT INTO book (title)"
            " WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n"
            " LIMIT 1000) SELECT 'book number ' || n FROM n"
        )
        page = os.sysconf("SC_PAGESIZE")
        data = project.data.read_bytes()
        pages = [data[at : at + page] for at in range(0, len(data), page)]
        project.data.write_bytes(
            b"".join(b"\xee" * page if b"number 500" in one else one for one in pages)
        )
        output = self.check(project, status=1)
        assert output.startswith("CommandError: The data file is damaged: ")

    def test_flat_memory(self, project):
        """A check doesn't keep what it has read."""
        project.run(
            "INSERT INTO book (title, author_id)"
            " WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n"
            " LIMIT 15000) SELECT hex(randomblob(500)), 1 + n % 3 FROM n"
        )
        number = numbers_of(project)
        with project.raw(map_size=1 << 30) as raw:
            for key in range(4, 15_004):
                entry = index_prefix(number[("author_id",)]) + encode_int(1 + key % 3)
                raw.delete(entry + encode_int(key))
        script = textwrap.dedent(
            """
            import resource
            from backendkit.backends.lmdb.store import LMDBStore
            from backendkit.kv.checking import Checker
            session = LMDBStore.open("one").session()
            session.begin(write=False)
            session.catalog()
            def heap():
                # Pages of the map count as memory of the process, too.
                status = open("/proc/self/status").read()
                return int(status.split("RssAnon:")[1].split()[0])
            before = heap()
            count = sum(1 for _ in Checker(session.active(), 511).findings())
            print(count > 10_000, heap() - before < 5_000, heap() - before)
            """
        )
        process = project.start("-c", script)
        assert process.communicate()[0].startswith("True True")


class TestCompact:
    def compact(self, project, *arguments, status=0, **options):
        return project.manage(
            "lmdb_compact", "--database", "one", *arguments, status=status, **options
        )

    @pytest.fixture
    def project(self, project):
        """A database with much free space."""
        project.run("CREATE TABLE wide (id integer PRIMARY KEY, t text)")
        for number in range(20):
            project.run(f"INSERT INTO wide VALUES ({number}, '{'x' * 50_000}')")
        project.run("DELETE FROM wide WHERE id > 1")
        return project

    def rows(self, project):
        return [
            project.run(f"SELECT * FROM {table}")
            for table in ("author", "book", "wide")
        ]

    def is_whole(self, project):
        output = project.manage("lmdb_check", "--database", "one")
        return "no problems found" in output

    def test_output(self, project):
        """A copy is written while others have the database open."""
        before = self.rows(project), project.data.read_bytes()
        with project.process(READING), project.process(held_open("")):
            output = self.compact(project, "--output", "copy")
        old, new = project.data.stat(), (project.path / "copy" / DATA_FILE).stat()
        assert output == (
            f"{old.st_size:,} bytes before, {new.st_size:,} bytes after\n"
        )
        assert new.st_size < old.st_size / 4
        assert (self.rows(project), project.data.read_bytes()) == before
        shutil.rmtree(project.database)
        (project.path / "copy").rename(project.database)
        assert self.rows(project) == before[0]
        assert self.is_whole(project)

    def test_where(self, project):
        """One has to say where the copy is to go; nothing is overwritten."""
        assert "is required" in self.compact(project, status=2)
        assert "not allowed with" in self.compact(
            project, "--in-place", "--output=x", status=2
        )
        output = self.compact(project, "--output", "one", status=2)
        assert "one already exists" in output
        self.compact(project, "--output", "no/such/place", status=2)

    def test_in_place(self, project):
        rows, before = self.rows(project), project.data.stat()
        project.data.chmod(0o640)
        self.compact(project, "--in-place")
        after = project.data.stat()
        assert after.st_size < before.st_size / 4
        assert after.st_mode & 0o777 == 0o640
        assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
        assert not [name for name in os.listdir(project.database) if "compact" in name]
        assert self.rows(project) == rows
        project.run("INSERT INTO author (name) VALUES ('Dan')")
        assert project.run("SELECT max(id) FROM author") == [(4,)]
        assert self.is_whole(project)

    @pytest.mark.parametrize("how", ["", ", {'readonly': True}"])
    def test_in_use(self, project, how):
        """Who has the database open, be it without a transaction, forbids the swap."""
        before = project.data.stat().st_ino
        with project.process(held_open(how)) as process:
            output = self.compact(project, "--in-place", status=2)
            assert f"process {process.pid} has it open" in output
            assert "--output" in output
        assert project.data.stat().st_ino == before
        # A process that was killed has nothing open.
        self.compact(project, "--in-place")
        assert project.data.stat().st_ino != before

    def test_in_use_by_this_process(self, project):
        connection = project.connect()
        try:
            with pytest.raises(Exception, match="close it first"):
                compacting.prepare(str(project.database))
        finally:
            connection.close()
        compacting.prepare(str(project.database))

    def test_opened_meanwhile(self, project):
        """Who opens the database during the copy makes the swap fail, and loses nothing."""
        path, before = str(project.database), self.rows(project)
        environment = lmdb.open(path)
        transaction = environment.info()["last_txnid"]
        with compacting.copied(environment, path) as copy:
            environment.close()
            with project.process(held_open("")):
                with pytest.raises(compacting.InUseError):
                    compacting.swap(path, copy, transaction)
            assert self.rows(project) == before

    def test_written_meanwhile(self, project):
        """What was written after the copy isn't thrown away."""
        path = str(project.database)
        environment = lmdb.open(path)
        transaction = environment.info()["last_txnid"]
        with compacting.copied(environment, path) as copy:
            environment.close()
            project.run("INSERT INTO author (name) VALUES ('Dan')")
            with pytest.raises(Exception, match="changed while it was copied"):
                compacting.swap(path, copy, transaction)
        assert project.run("SELECT count(*) FROM author") == [(4,)]

    @pytest.mark.parametrize("readonly", [False, True])
    def test_who_waits_gets_the_new_file(self, project, monkeypatch, readonly):
        """
        A process that opens the database during the swap waits, and then reads and
        writes the new file, with a lock file that belongs to it.
        """
        path, rows = str(project.database), self.rows(project)
        environment = lmdb.open(path)
        transaction = environment.info()["last_txnid"]
        waiting = None

        def replace(source, target, *, replace=os.replace):
            nonlocal waiting
            waiting = project.start("-c", WAITING, *(["readonly"] if readonly else []))
            assert waiting.stdout.readline() == "opening\n"
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.5)
            replace(source, target)

        with compacting.copied(environment, path) as copy:
            environment.close()
            monkeypatch.setattr(os, "replace", replace)
            compacting.swap(path, copy, transaction)
        assert waiting.stdout.readline() == f"{rows[0]}\n", waiting.stderr.read()
        project.run("INSERT INTO author (name) VALUES ('Dan')")
        output, errors = waiting.communicate("go\n", timeout=PATIENCE)
        assert waiting.returncode == 0, errors
        assert output == f"{[*rows[0], (4, 'Dan')]}\n"
        written = 4 if readonly else 5
        assert project.run("SELECT count(*) FROM author") == [(written,)]
        assert self.is_whole(project)

    @pytest.mark.parametrize("how", ["--in-place", "--output=copy"])
    def test_no_space(self, project, how):
        """A full disk leaves the database untouched, and nothing else."""

        project.run("SELECT 1")
        before = project.data.read_bytes(), sorted(os.listdir(project.database))
        output = self.compact(project, how, status=2, limit=60_000)
        assert output.startswith("CommandError: ")
        now = project.data.read_bytes(), sorted(os.listdir(project.database))
        assert now == before
        assert not (project.path / "copy").exists()
        assert self.is_whole(project)

    def test_killed(self, project):
        """Whenever it is killed, the old file or the new one is there, whole."""
        script = """
            import os, sys
            from django.core.management import call_command
            sys.argv = ["manage.py", "help"]
            sys.stdout = open(os.devnull, "w")
            exec(open("manage.py").read())
            sys.stdout = sys.__stdout__
            where = {where!r}
            import backendkit.backends.lmdb.management.compacting as compacting
            def stop(*_, **__):
                print("ready", flush=True)
                input()
            def patched(*args, before={before}, real=getattr({module}, where)):
                if before:
                    stop()
                real(*args)
                stop()
            import shutil, lmdb
            setattr({module}, where, patched)
            call_command("lmdb_compact", "--database=one", "--in-place")
            """
        rows = self.rows(project)
        for module, where, before in (
            ("compacting", "to_disk", False),
            ("os", "replace", True),
            ("os", "replace", False),
        ):
            text = script.format(module=module, where=where, before=before)
            with project.process(text) as process:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            assert self.rows(project) == rows
            assert self.is_whole(project)
            project.run("DELETE FROM wide WHERE id < 0")
        self.compact(project, "--in-place")
        assert set(os.listdir(project.database)) == {
            DATA_FILE,
            LOCK_FILE,
            "writer.lock",
        }
        assert self.rows(project) == rows

    def test_readonly(self, project):
        output = project.manage(
            "lmdb_compact", "--database=readonly", "--in-place", status=2
        )
        assert "readonly" in output
        project.manage("lmdb_compact", "--database=readonly", "--output=copy")
        assert (project.path / "copy").is_dir()
