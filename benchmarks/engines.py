"""The two engines: how Django is set up for each, and what a bare commit costs."""

import sqlite3

ENGINES = ("sqlite", "lmdb")
NAMES = {"sqlite": "SQLite", "lmdb": "LMDB"}

_DATABASES = {
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "OPTIONS": {
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"
        },
    },
    # As they come: what is committed has been written to the disk.
    "lmdb": {"ENGINE": "backendkit.backends.lmdb"},
}


def set_up(engine, directory):
    """Set up Django with a database in a directory."""
    configure(
        _DATABASES[engine] | {"NAME": directory / engine},
        "benchmarks.shop",
        ROOT_URLCONF="benchmarks.shop.urls",
    )


def configure(database, *applications, **more):
    """
    Set up Django with a database, and the admin.

    :param applications: what is installed beside the admin.
    :param more: settings.
    """
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django.contrib.staticfiles",
            *applications,
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        ALLOWED_HOSTS=["testserver"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        SECRET_KEY="not one",
        STATIC_URL="static/",
        **more,
    )
    django.setup()


def check_durable(engine):
    """
    Make sure that what is committed is on the disk.

    :raises RuntimeError: it isn't, so that nothing would be worth measuring.
    """
    from django.db import connection

    connection.ensure_connection()
    if engine == "sqlite":
        with connection.cursor() as cursor:
            found = [
                cursor.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous")
            ]
        durable = found == ["wal", 2]
    else:
        found = connection.connection.store.engine.environment.lmdb.flags()
        durable = found["sync"] and found["metasync"]
    if not durable:
        raise RuntimeError(f"{engine} isn't durable: {found}")


def versions(engine):
    """Return what is measured, in words."""
    if engine == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    import apsw
    import lmdb

    library = ".".join(map(str, lmdb.version()))
    return f"LMDB {library} (py-lmdb {lmdb.__version__}, apsw {apsw.apsw_version()})"


def raw_commits(engine, directory):
    """Return a function that commits one short row with the driver alone."""
    row = b"." * 60
    path = str(directory / f"raw-{engine}")
    if engine == "sqlite":
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS one (id INTEGER PRIMARY KEY, value BLOB)"
        )
        insert = "INSERT INTO one (value) VALUES (?)"
        return lambda: database.execute(insert, [row]).rowcount
    import lmdb

    environment = lmdb.open(path, map_size=2**30)

    def put():
        with environment.begin(write=True) as transaction:
            return int(transaction.put(transaction.id().to_bytes(8, "big"), row))

    return put
