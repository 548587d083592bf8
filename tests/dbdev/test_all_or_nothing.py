"""What replaces data asks before, and changes everything or nothing."""

import json

import pytest

from . import engines
from .engines import available

# Statements that take effect before one fails, unless something undoes them.
SCRIPTS = {
    "rows": "DELETE FROM shop_part;\nINSERT INTO no_such_table VALUES (1);\n",
    "commit": "BEGIN;\nDELETE FROM shop_part;\nCOMMIT;\nNONSENSE;\n",
    "tables": "DROP TABLE shop_part;\nCREATE TABLE note (id integer);\nNONSENSE;\n",
    "no end": "DELETE FROM shop_part;\nCREATE TABLE note (id integer",
}
GOOD = (
    "-- as sqlmigrate writes it\nBEGIN;\n"
    "CREATE TABLE note (id integer PRIMARY KEY, text varchar(99));\n"
    "INSERT INTO note VALUES (1, 'BEGIN;');\nCOMMIT;\n"
    "INSERT INTO note VALUES (2, 'b');\n"
)
NOTES = "SELECT id, text FROM note ORDER BY id"


def write(project, name, text):
    (project.path / name).write_text(text)
    return name


def fetched(project, statement):
    code = (
        "from django.db import connection as c; k = c.cursor();"
        f" k.execute({statement!r}); print([list(row) for row in k.fetchall()])"
    )
    return project.manage("shell", "-v0", "-c", code).out.strip()


# test_server_whose_definitions_stay is for the others.
QUICK = [engines.SQLITE]


@pytest.fixture(params=engines.params(engines.ALL, QUICK))
def filled(make, request):
    engine = available(request.param)
    project = make({"default": engine.settings()}, before=engine.before)
    project.manage("dbdev_init")
    project.fill(5)
    return project


def test_scripts(filled):
    """Run on the data that there are, loaded as a dump, or in their place."""
    rows = filled.rows()
    for name, text in SCRIPTS.items():
        write(filled, "bad.sql", text)
        for command in (
            ["dbdev_load_sqldump", "--no-reinit"],
            ["dbdev_load_sqldump", "--noinput"],
            ["dbdev_loaddump", "--noinput"],
        ):
            answer = filled.manage(*command, "bad.sql", status=1)
            assert answer.err.startswith("CommandError: "), (name, command)
            assert filled.rows() == rows, (name, command)
        assert filled.info().get("running") is not False
    assert not list(filled.path.rglob("*aside*"))


@pytest.mark.check
def test_server_whose_definitions_stay(make):
    """MariaDB commits them at once: they change a copy."""
    mariadb = available(engines.MARIADB)
    project = make({"default": mariadb.settings()}, before=mariadb.before)
    project.manage("dbdev_init")
    project.fill(2)
    rows = project.rows()
    write(project, "bad.sql", SCRIPTS["tables"])
    project.manage("dbdev_loaddump", "--noinput", "bad.sql", status=1)
    assert project.rows() == rows


def test_good_script(filled):
    """All of its rows are there afterwards, with those that were there before."""
    rows = filled.rows()
    filled.manage("dbdev_load_sqldump", "--no-reinit", write(filled, "a.sql", GOOD))
    assert filled.rows() == rows
    assert fetched(filled, NOTES) == "[[1, 'BEGIN;'], [2, 'b']]"


def test_native_dump(filled):
    """It asks where there are tables, and tells what it would replace."""
    if not filled.manage("dbdev_createdump", "a.sql", status=None).out:
        pytest.skip("it has no dump of its own")
    filled.manage("load_rows", "2")
    rows = filled.rows()
    for answer in ("", "n\n"):
        asked = filled.manage("dbdev_loaddump", "a.sql", answer=answer, status=1)
        assert "2 tables" in asked.out
        assert "Aborted" in asked.err
        assert filled.rows() == rows
    filled.manage("dbdev_reinit", "--noinput")
    # Nothing is lost: nobody is asked.
    filled.manage("dbdev_loaddump", "a.sql")
    assert len(filled.rows()[0]) == len(rows[0]) - 2


def test_neutral_dump(filled):
    """It asks if a row would change, not about those that are the same."""
    filled.manage("dbdev_createdump", "a.jsonl")
    filled.manage("dbdev_loaddump", "a.jsonl")
    lines = (filled.path / "a.jsonl").read_text().splitlines()
    changed = [line.replace(" code", " other") for line in lines]
    write(filled, "changed.jsonl", "\n".join(changed))
    rows = filled.rows()
    asked = filled.manage("dbdev_loaddump", "changed.jsonl", status=1)
    assert "changed.jsonl may replace rows of shop.Item in" in asked.out
    # The prompt is on a line of its own.
    assert asked.out.endswith("[y/N] \n")
    assert asked.err == (
        "CommandError: Aborted: no terminal to confirm on. Pass"
        " --noinput to skip the question.\n"
    )
    assert filled.rows() == rows
    # The last of them can't be loaded.
    broken = [json.loads(line) for line in changed]
    broken[-1]["fields"]["number"] = "no number"
    write(filled, "broken.json", json.dumps(broken))
    answer = filled.manage("dbdev_loaddump", "--noinput", "broken.json", status=1)
    assert "can't be loaded" in answer.err
    assert filled.rows() == rows
    filled.manage("dbdev_loaddump", "changed.jsonl", answer="y\n")
    assert filled.rows() != rows
    filled.manage("dbdev_loaddump", "a.jsonl", "--noinput")
    assert filled.rows() == rows


@pytest.mark.check
def test_killed_script(make, server_engine):
    """The next command undoes what was done."""
    killed = (
        "\nimport os, signal\n"
        "from backendkit.dbdev import process\n"
        "if 'dbdev_load_sqldump' in sys.argv:\n"
        "    run = process.run\n"
        "    def killed(*arguments, **more):\n"
        "        run(*arguments, **more)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    process.run = killed\n"
    )
    if server_engine is engines.IMMUDB:
        pytest.skip("its statements are run by a driver, in one transaction")
    entry = {"default": server_engine.settings()}
    project = make(entry, before=server_engine.before)
    project.manage("dbdev_init")
    project.fill(5)
    rows = project.rows()
    project.configure(entry, before=server_engine.before + killed)
    write(project, "a.sql", "DROP TABLE shop_part;")
    project.manage("dbdev_load_sqldump", "--no-reinit", "a.sql", status=-9)
    assert "were restored" in project.manage("dbdev_startserver").err
    assert project.rows() == rows
