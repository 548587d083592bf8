"""
Measure development databases: ``python -m benchmarks.development [ENGINE …]``.

For each engine: how long ``manage.py dbdev_init`` takes from being typed to a database
that can be used, the start of Python included; and a backup of 100,000 rows beside what
one would type without us, in turns. Programs have to be installed, see ``dbdev_doctor``.
"""

import argparse
import contextlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROUNDS = 5
ROWS = 100_000
SETTINGS = """
from pathlib import Path
from backendkit.dbdev import dbsettings
BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "x"
USE_TZ = True
INSTALLED_APPS = ["backendkit.dbdev"]
{before}
DATABASES = {{"default": dbsettings("{engine}", BASE_DIR)}}
"""
BEFORE = {"mariadb": "import pymysql; pymysql.install_as_MySQLdb()"}
ENGINES = ("postgresql", "mariadb", "immudb", "dynamodb", "sqlite", "lmdb")


def main():
    """Measure each engine in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.development",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("engines", nargs="*", metavar="ENGINE")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--in", dest="folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        work(arguments.engines[0], Path(arguments.folder), arguments.rows)
        return
    print("seconds: median (least, most)")
    for engine in arguments.engines or ENGINES:
        # Not below /root: another user may have to get there.
        with tempfile.TemporaryDirectory(prefix="dbdev-bench-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            text = SETTINGS.format(engine=engine, before=BEFORE.get(engine, ""))
            (folder / "dev_settings.py").write_text(text)
            command = [sys.executable, "-m", "benchmarks.development", engine]
            command += ["--in", name, "--rows", str(arguments.rows)]
            paths = [name, os.environ.get("PYTHONPATH", "")]
            environment = os.environ | {
                "DJANGO_SETTINGS_MODULE": "dev_settings",
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            }
            try:
                subprocess.run(command, env=environment, check=True)
            finally:
                # Whatever happened, no server is left.
                manage("dbdev_destroy", "--noinput", env=environment, check=False)


def manage(*arguments, check=True, env=None):
    """Run a command as one types it; return the seconds that it took."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        check=check,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=None if check else subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def show(what, times):
    """Print a line of the table."""
    middle = statistics.median(times)
    print(
        f"  {what:<58}{middle:7.3f}  ({min(times):.3f}, {max(times):.3f})", flush=True
    )


def work(engine, folder, rows):
    """Measure one engine; settings are there."""
    import django

    django.setup()
    from backendkit.dbdev.base import backend_of
    from backendkit.dbdev.testing import QuietCommand

    print(engine)
    times = []
    for _ in range(ROUNDS):
        times.append(manage("dbdev_init"))
        use(engine)
        manage("dbdev_destroy", "--noinput")
    show("dbdev_init", times)
    manage("dbdev_init")
    fill(engine, rows)
    backend = backend_of(QuietCommand())
    ways = {"backup": backend.create_backup}
    for name, way in by_hand(engine, backend, folder).items():
        ways[name] = way
        # What a backup of ours does besides.
        ways[f"{name}, sha256sum, sync"] = checked(way, folder)
    taken = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            shutil.rmtree(folder / "copy", ignore_errors=True)
            (folder / "copy").mkdir(mode=0o777)
            # What was written before is not to be paid for.
            os.sync()
            began = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - began)
    size = sum(path.stat().st_size for path in backend.get_backupdirs()[-1].rglob("*"))
    for name, times in taken.items():
        show(f"{rows:,} rows: {name}", times)
    print(f"  {'size of the backup, MB':<58}{size / 1e6:6.1f}")


def use(engine):
    """Ask the database something."""
    from django.db import connection

    if engine == "dynamodb":
        dynamodb("ListTables")
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.close()


def fill(engine, rows):
    """Make a table of numbers, texts and amounts."""
    from django.db import connection, transaction

    values = [(n, f"name {n:07} of a row", n * 7 % 1000) for n in range(rows)]
    if engine == "dynamodb":
        fill_dynamodb(values)
        return
    if engine == "immudb":
        fill_immudb(values)
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE item (id integer PRIMARY KEY, name varchar(50), amount integer)"
        )
        for start in range(0, rows, 2000):
            with transaction.atomic():
                some = values[start : start + 2000]
                places = ", ".join(["(%s, %s, %s)"] * len(some))
                cursor.execute(
                    f"INSERT INTO item (id, name, amount) VALUES {places}",
                    [value for row in some for value in row],
                )
    connection.close()


def fill_immudb(values):
    """By its driver: that rows are new needn't be checked."""
    from django.conf import settings

    from backendkit.backends.immudb import driver

    entry = settings.DATABASES["default"]
    with driver.connect(
        entry["HOST"], entry["PORT"], entry["NAME"], password=entry["PASSWORD"]
    ) as link:
        link.run(
            "CREATE TABLE item"
            " (id INTEGER, name VARCHAR[50], amount INTEGER, PRIMARY KEY id)"
        )
        link.commit()
        for start in range(0, len(values), 2000):
            some = ", ".join(str(value) for value in values[start : start + 2000])
            link.run(f"INSERT INTO item (id, name, amount) VALUES {some}")
            link.commit()


def fill_dynamodb(values):
    dynamodb(
        "CreateTable",
        TableName="item",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )

    def put(some):
        items = [
            {"id": {"N": str(n)}, "name": {"S": name}, "amount": {"N": str(amount)}}
            for n, name, amount in some
        ]
        requests = [{"PutRequest": {"Item": item}} for item in items]
        dynamodb("BatchWriteItem", RequestItems={"item": requests})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, [values[n : n + 25] for n in range(0, len(values), 25)]))


def dynamodb(operation, **request):
    """Call DynamoDB Local; any credentials will do, if they have the right form."""
    from django.conf import settings

    key = "Credential=x/20200101/local/dynamodb/aws4_request"
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": f"AWS4-HMAC-SHA256 {key}, SignedHeaders=host, Signature=x",
    }
    port = int(settings.DATABASES["default"]["PORT"])
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as link:
        link.request("POST", "/", json.dumps(request), headers)
        answer = link.getresponse()
        text = answer.read().decode()
        assert answer.status == http.client.OK, text


def checked(way, folder):
    """Return a way that ends with checksums, and with the files on the disk."""

    def then_check():
        way()
        files = [path for path in (folder / "copy").rglob("*") if path.is_file()]
        for program in ("sha256sum", "sync"):
            subprocess.run([program, *files], check=True, stdout=subprocess.DEVNULL)

    return then_check


def by_hand(engine, backend, folder):
    """Return what one would do without us, by name; each writes to ``copy``."""
    entry = backend.dbsettings
    copy = folder / "copy"

    def run(*command, **environment):
        subprocess.run(
            list(map(str, command)),
            check=True,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stopped():
        backend.quiesce()
        run("cp", "-a", backend.data_paths()[0], copy / "data")
        backend.resume()

    if engine == "postgresql":
        from backendkit.dbdev.engines.postgresql import PG_DUMP

        program = backend.program(PG_DUMP)
        where = ["-h", "127.0.0.1", "-p", entry["PORT"], "-U", entry["USER"]]
        return {
            "pg_dump -Fc": lambda: run(
                *(program, *where, "-Fc", "-f", copy / "dump", entry["NAME"]),
                PGPASSWORD=entry["PASSWORD"],
            )
        }
    if engine == "mariadb":
        from backendkit.dbdev.engines.mysql import MYSQLDUMP

        options = folder / "client.cnf"
        options.write_text(
            f"[client]\nhost=127.0.0.1\nport={entry['PORT']}\nprotocol=tcp\n"
            f"user=root\npassword={backend.admin_password()}\n"
        )
        how = f"--defaults-file={options}"

        def mariadb_backup():
            target = f"--target-dir={copy / 'data'}"
            data = f"--datadir={backend.instance.data}"
            run("mariadb-backup", how, "--backup", data, target)
            run("mariadb-backup", how, "--prepare", target)

        def dump():
            result = f"--result-file={copy / 'dump.sql'}"
            run(backend.program(MYSQLDUMP), how, result, entry["NAME"])

        ways = {"mariadb-dump": dump}
        if shutil.which("mariadb-backup"):
            ways["mariadb-backup, and --prepare"] = mariadb_backup
        return ways
    if engine == "sqlite":
        import sqlite3

        def vacuum():
            with contextlib.closing(sqlite3.connect(entry["NAME"])) as database:
                database.execute("VACUUM INTO ?", [str(copy / "db")])

        def online():
            with (
                contextlib.closing(sqlite3.connect(entry["NAME"])) as database,
                contextlib.closing(sqlite3.connect(copy / "db")) as target,
            ):
                database.backup(target)

        return {"VACUUM INTO": vacuum, "SQLite's backup": online}
    if engine == "lmdb":
        import lmdb

        def compact():
            with lmdb.open(str(entry["NAME"]), readonly=True) as environment:
                environment.copy(str(copy), compact=True)

        return {"mdb_env_copy, compacting": compact}
    return {"stop, cp -a, start": stopped}


if __name__ == "__main__":
    main()
