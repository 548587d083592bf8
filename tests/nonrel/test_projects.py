"""Management commands, from end to end, in projects of their own."""

import ast
import multiprocessing
import re
import shutil

import pytest

from .databases import settings_of
from .projects import Project

#: Whether processes are started by forks unless something else is said.
FORKS = multiprocessing.get_start_method() == "fork"

MODELS = """
from django.db import models

class Kind(models.Model):
    name = models.CharField(max_length=20, unique=True)

class Article(models.Model):
    title = models.CharField(max_length=40, null=True)
    kind = models.ForeignKey(Kind, models.CASCADE, null=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
"""

NEW_MODELS = """
from django.db import models
from django.db.models import Q

class Sort(models.Model):
    label = models.CharField(max_length=30, unique=True)
    articles = models.ManyToManyField("Article", related_name="sorts")

class Article(models.Model):
    title = models.CharField(max_length=40, default="untitled")
    kind = models.ForeignKey(Sort, models.CASCADE, null=True)
    price = models.FloatField(default=0)
    stock = models.IntegerField(default=5, db_index=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(stock__gte=0), name="in_stock"),
            models.UniqueConstraint(fields=["title", "kind"], name="once"),
        ]
        indexes = [models.Index(fields=["-price"], name="by_price")]
"""

SECOND = """
from django.db import migrations, models

def fill(apps, schema_editor):
    Article = apps.get_model("shop", "Article")
    for article in Article.objects.iterator():
        article.stock = 10 * article.pk
        article.save()
    schema_editor.execute("UPDATE shop_article SET stock = stock + 1")

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.RenameModel("Kind", "Sort"),
        migrations.RenameField("Sort", "name", "label"),
        migrations.AlterField("sort", "label", models.CharField(max_length=30, unique=True)),
        migrations.AddField("sort", "articles",
            models.ManyToManyField(related_name="sorts", to="shop.article")),
        migrations.AlterField("article", "title",
            models.CharField(max_length=40, default="untitled")),
        migrations.AlterField("article", "price", models.FloatField(default=0)),
        migrations.AddField("article", "stock",
            models.IntegerField(default=5, db_index=True)),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RunSQL(
            ["CREATE TABLE log (id integer PRIMARY KEY AUTOINCREMENT, line text)",
             ("INSERT INTO log (line) VALUES (%s), (%s)", ["50%", "it's"])],
            "DROP TABLE log"),
        migrations.AddConstraint("article", models.CheckConstraint(
            condition=models.Q(stock__gte=0), name="in_stock")),
        migrations.AddConstraint("article", models.UniqueConstraint(
            fields=["title", "kind"], name="once")),
        migrations.AddIndex("article", models.Index(fields=["-price"], name="by_price")),
    ]
"""

BROKEN = """
from django.db import migrations, models

def explode(apps, schema_editor):
    apps.get_model("shop", "Article").objects.update(stock=77)
    raise RuntimeError("on purpose")

class Migration(migrations.Migration):
    dependencies = [("shop", "0002_more")]
    operations = [
        migrations.AddField("article", "extra", models.IntegerField(default=1)),
        migrations.RunSQL("DROP TABLE log"),
        migrations.RunPython(explode),
    ]
"""

STRICT = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.AddField("article", "extra", models.IntegerField(default=1)),
        migrations.AlterField("article", "title", models.CharField(max_length=40)),
    ]
"""

DUMP = """
from django.db import connection

def dump():
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
            " AND name NOT LIKE 'sqlite_%' ORDER BY name")
        result = cursor.fetchall()
        for name in sorted(connection.introspection.table_names()):
            cursor.execute(f'SELECT * FROM "{name}" ORDER BY 1')
            result.append((name, cursor.fetchall()))
    return result

def run(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()
"""


@pytest.fixture
def project(tmp_path):
    """A project on LMDB, with its models."""
    project = Project(tmp_path / "project", settings_of("lmdb", tmp_path))
    project.write("shop/models.py", MODELS)
    project.write("shop/migrations/__init__.py", "")
    return project


@pytest.fixture(params=["lmdb", pytest.param("memory", marks=pytest.mark.check)])
def either(request, tmp_path):
    """A project on either store. On memory, one process has to do it all."""
    apps = (
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "shop",
    )
    caches = {
        "default": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "cache table",
        }
    }
    project = Project(
        tmp_path / "project", settings_of(request.param, tmp_path), apps, CACHES=caches
    )
    project.write("shop/models.py", MODELS)
    project.write("shop/migrations/__init__.py", "")
    project.write("shop/migrations/0001_initial.py", INITIAL)
    project.write("helpers.py", DUMP)
    return project


INITIAL = """
from django.db import migrations, models

class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel("Kind", [
            ("id", models.BigAutoField(primary_key=True, serialize=False)),
            ("name", models.CharField(max_length=20, unique=True)),
        ]),
        migrations.CreateModel("Article", [
            ("id", models.BigAutoField(primary_key=True, serialize=False)),
            ("title", models.CharField(max_length=40, null=True)),
            ("kind", models.ForeignKey("shop.Kind", models.CASCADE, null=True)),
            ("price", models.DecimalField(max_digits=8, decimal_places=2, default=0)),
        ]),
    ]
"""


@pytest.mark.check
def test_made_by_django(project):
    """makemigrations and migrate, one process after the other; then nothing is left."""
    assert "Create model Article" in project.manage("makemigrations", "shop")
    assert "OK" in project.manage("migrate")
    project.script(
        """
        from shop.models import *
        kind = Kind.objects.create(name="a")
        Article.objects.create(title="t", kind=kind, price="1.50")
        """
    )
    project.write("shop/migrations/0002_more.py", SECOND)
    project.write("shop/models.py", NEW_MODELS)
    assert "No changes detected" in project.manage("makemigrations", "--check")
    project.manage("migrate", "--check", fails=True)
    assert "OK" in project.manage("migrate")
    assert "No migrations to apply" in project.manage("migrate")
    assert "[X] 0002_more" in project.manage("showmigrations")
    assert "CREATE TABLE" in project.manage("sqlmigrate", "shop", "0001")
    output = project.script(
        """
        from shop.models import *
        article = Article.objects.get()
        print(article.kind.label, article.price, article.stock)
        """
    )
    assert output.split() == ["a", "1.5", "11"]


def test_forward_and_backward(either):
    """Migrations with data, code and SQL go forward and backward, and can fail."""
    either.write("shop/migrations/0002_more.py", SECOND)
    either.write("shop/migrations/0003_broken.py", BROKEN)
    either.write("shop/models.py", NEW_MODELS)
    either.script(
        """
        from django.core.management import call_command
        from django.db import IntegrityError
        from helpers import dump, run

        def migrate(name):
            call_command("migrate", "shop", name, verbosity=0)

        migrate("0001")
        run("INSERT INTO shop_kind (name) VALUES ('a')")
        run("INSERT INTO shop_article (title, kind_id, price) VALUES"
            " ('t', 1, 2.5), (NULL, NULL, 0)")
        first = dump()
        migrate("0002")
        second = dump()
        assert run("SELECT title, kind_id, price, stock FROM shop_article") == [
            ("t", 1, 2.5, 11), ("untitled", None, 0.0, 21)]
        assert run("SELECT line FROM log") == [("50%",), ("it's",)]
        for sql in ("UPDATE shop_article SET stock = -1",
                    "UPDATE shop_article SET title = 't', kind_id = 1",
                    "UPDATE shop_article SET kind_id = 9",
                    "INSERT INTO shop_sort_articles (sort_id, article_id)"
                    " VALUES (1, 1), (1, 1)"):
            try:
                run(sql)
            except IntegrityError as error:
                print(error)
            else:
                raise AssertionError(sql)
        try:
            migrate("0003")
        except RuntimeError as error:
            assert str(error) == "on purpose"
        else:
            raise AssertionError
        assert dump() == second
        migrate("0001")
        third = dump()
        schema = lambda rows: [row for row in rows if isinstance(row[1], str)]
        print(schema(first)); print(schema(third))
        assert [r[0] for r in schema(first)] == [r[0] for r in schema(third)]
        assert run("SELECT title, kind_id FROM shop_article") == [
            ("t", 1), ("untitled", None)]
        migrate("0002")
        migrate("zero")
        assert not [n for n, *_ in dump() if n.startswith(("shop", "log"))], dump()
        migrate("0002")
        """
    )


def test_nulls_remain(either):
    """A migration to NOT NULL while NULLs remain says so, and changes nothing."""
    either.write("shop/migrations/0002_strict.py", STRICT)
    output = either.script(
        """
        from django.core.management import call_command
        from django.db import IntegrityError
        from helpers import dump, run
        call_command("migrate", "shop", "0001", verbosity=0)
        run("INSERT INTO shop_article (title, price) VALUES ('t', 1), (NULL, 2)")
        before = dump()
        try:
            call_command("migrate", "shop", verbosity=0)
        except IntegrityError as error:
            print(error)
        else:
            raise AssertionError
        assert dump() == before
        run("DELETE FROM shop_article WHERE title IS NULL")
        call_command("migrate", "shop", verbosity=0)
        assert run("SELECT title, extra FROM shop_article") == [("t", 1)]
        """
    )
    assert "NOT NULL constraint failed" in output
    assert "title" in output


def test_cache_table(either):
    """createcachetable makes a table that Django's cache works on."""
    either.script(
        """
        from django.core.cache import cache
        from django.core.management import call_command
        from django.db import connection
        call_command("createcachetable", verbosity=0)
        call_command("createcachetable", verbosity=0)
        assert "cache table" in connection.introspection.table_names()
        cache.set("a", {"b": [1, 2]})
        cache.set_many({f"k{n}": n for n in range(50)})
        assert cache.get("a") == {"b": [1, 2]}
        assert cache.get_many(["k1", "k49", "none"]) == {"k1": 1, "k49": 49}
        assert cache.incr("k1") == 2
        assert not cache.add("a", 1)
        cache.set("gone", 1, timeout=-1)
        assert cache.get("gone") is None
        cache.delete("a")
        assert "a" not in cache
        cache.clear()
        assert cache.get("k2") is None
        """
    )


def test_fixtures(either):
    """dumpdata and loaddata: natural keys, forward references, all that auth has."""
    either.script(
        """
        import io, json, pathlib
        from django.contrib.auth.models import Group, Permission, User
        from django.core.management import call_command
        from django.db import IntegrityError
        from django.utils import timezone
        from helpers import dump, run
        call_command("migrate", verbosity=0)
        group = Group.objects.create(name="g")
        group.permissions.set(Permission.objects.all()[:3])
        # A dump has milliseconds: Django writes 500 µs as ".000", and 0 without a dot.
        joined = timezone.now().replace(microsecond=123000)
        user = User.objects.create_user("ü'\\"", "a@b.c", "secret", date_joined=joined)
        user.groups.add(group)
        def dumped(**options):
            out = io.StringIO()
            call_command("dumpdata", stdout=out, indent=1, **options)
            return out.getvalue()
        natural = dumped(use_natural_foreign_keys=True, use_natural_primary_keys=True)
        plain = dumped()
        pathlib.Path("natural.json").write_text(natural)
        pathlib.Path("plain.json").write_text(plain)
        for name, before, options in (
            ("natural", natural,
             dict(use_natural_foreign_keys=True, use_natural_primary_keys=True)),
            ("plain", plain, {}),
        ):
            call_command("flush", interactive=False, verbosity=0)
            assert not User.objects.exists()
            assert Permission.objects.exists()
            call_command("loaddata", f"{name}.json", verbosity=0)
            call_command("loaddata", f"{name}.json", verbosity=0)
            assert sorted(json.loads(dumped(**options)), key=str) == sorted(
                json.loads(before), key=str)
        user = User.objects.get()
        assert user.check_password("secret") and user.groups.get().permissions.count() == 3
        forward = [
            {"model": "shop.article", "pk": 1, "fields": {"kind": 7, "title": "t"}},
            {"model": "shop.kind", "pk": 7, "fields": {"name": "later"}},
        ]
        pathlib.Path("forward.json").write_text(json.dumps(forward))
        call_command("loaddata", "forward.json", verbosity=0)
        assert run("SELECT kind_id FROM shop_article") == [(7,)]
        before = dump()
        pathlib.Path("broken.json").write_text(json.dumps([
            {"model": "shop.article", "pk": 2, "fields": {"kind": 8, "title": "t"}}]))
        try:
            call_command("loaddata", "broken.json", verbosity=0)
        except IntegrityError as error:
            print(error)
        else:
            raise AssertionError
        assert dump() == before
        from shop.models import Kind
        assert Kind.objects.create(name="next").pk == 8
        call_command("flush", interactive=False, verbosity=0)
        assert Kind.objects.create(name="first").pk == 1
        """
    )


FIELDS = """
from django.db import models
import uuid

class Everything(models.Model):
    big = models.BigIntegerField()
    binary = models.BinaryField()
    boolean = models.BooleanField(null=True)
    char = models.CharField(max_length=17, unique=True)
    nocase = models.CharField(max_length=18, db_collation="nocase")
    date = models.DateField()
    moment = models.DateTimeField()
    decimal = models.DecimalField(max_digits=12, decimal_places=3)
    span = models.DurationField()
    float = models.FloatField()
    integer = models.IntegerField(null=True, blank=True)
    address = models.GenericIPAddressField()
    data = models.JSONField()
    positive = models.PositiveIntegerField()
    small = models.SmallIntegerField()
    text = models.TextField()
    time = models.TimeField()
    key = models.UUIDField()
    parent = models.ForeignKey("self", models.DO_NOTHING)
    one = models.OneToOneField("Other", models.DO_NOTHING, related_name="+")

    class Meta:
        unique_together = [("date", "small")]

class Other(models.Model):
    id = models.UUIDField(primary_key=True)

class Odd(models.Model):
    spaced = models.IntegerField(db_column="a b")
    keyword = models.IntegerField(db_column="class")

    class Meta:
        db_table = "odd table"

class Pair(models.Model):
    pk = models.CompositePrimaryKey("left", "right")
    left = models.IntegerField()
    right = models.CharField(max_length=5)
"""


def test_inspectdb(either):
    """inspectdb tells every field, and what it writes is Python."""
    either.write("shop/models.py", FIELDS)
    shutil.rmtree(either.path / "shop/migrations")
    output = either.script(
        """
        import io
        from django.core.management import call_command
        from django.db import connection
        call_command("migrate", run_syncdb=True, verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("CREATE VIEW glance AS SELECT char, span FROM shop_everything")
        out = io.StringIO()
        call_command("inspectdb", include_views=True, stdout=out)
        print(out.getvalue())
        """
    )
    ast.parse(output)
    found = dict(re.findall(r"    (\w+) = models\.(.+?)(?:  #.*)?$", output, re.M))
    expected = {
        "big": "BigIntegerField()",
        "binary": "BinaryField()",
        "boolean": "BooleanField(blank=True, null=True)",
        "nocase": "CharField(max_length=18, db_collation='nocase')",
        "date": "DateField()",
        "moment": "DateTimeField()",
        "float": "FloatField()",
        "integer": "IntegerField(blank=True, null=True)",
        "data": "JSONField()",
        "positive": "PositiveIntegerField()",
        "small": "SmallIntegerField()",
        "text": "TextField()",
        "time": "TimeField()",
        "key": "UUIDField()",
        "a_b": "IntegerField(db_column='a b')",
        "class_field": "IntegerField(db_column='class')",
        "left": "IntegerField()",
        "right": "CharField(max_length=5)",
    }
    assert {name: found[name] for name in expected} == expected
    assert "char = models.CharField(unique=True, max_length=17)" in output
    # The digits aren't kept, as on SQLite.
    assert found["decimal"].startswith("DecimalField(")
    assert "span = models.DurationField()" in output
    assert "models.ForeignKey('self', models.DO_NOTHING)" in output
    assert "models.OneToOneField('ShopOther', models.DO_NOTHING)" in output
    assert "id = models.UUIDField(primary_key=True)" in output
    assert "models.CompositePrimaryKey('left', 'right')" in output
    assert "unique_together = (('date', 'small'),)" in output
    assert "db_table = 'odd table'" in output
    assert "class Glance" in output


TESTS = """
import multiprocessing
import os
from django.db import connection
from django.test import TestCase, TransactionTestCase
from shop.models import Article, Kind

class Common:
    def test_writes(self):
        assert Kind.objects.count() == 0
        kind = Kind.objects.create(name="a")
        Article.objects.create(title="t", kind=kind)
        name = str(connection.settings_dict["NAME"])
        with open(os.environ.get("NAMES", os.devnull), "a") as names:
            print(name, file=names)
        assert "test_" in name, name

    def test_is_empty(self):
        assert Kind.objects.count() == 0
        Kind.objects.create(name="a")

class One(Common, TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.article = Article.objects.create(title="setup")

    def test_setup(self):
        assert Article.objects.get() == self.article
        self.article.delete()

class Two(Common, TransactionTestCase):
    def test_numbers(self):
        Kind.objects.create(name="x")

class Serialized(TransactionTestCase):
    serialized_rollback = True

    def test_one(self):
        Kind.objects.all().delete()

class Three(Common, TransactionTestCase):
    reset_sequences = True

    def test_numbers(self):
        assert Kind.objects.create(name="x").pk == 1
"""


class TestRunner:
    """Django's test runner: databases of their own, for each process."""

    @pytest.fixture
    def tested(self, project, tmp_path, monkeypatch):
        project.write("shop/migrations/0001_initial.py", INITIAL)
        project.write("shop/tests.py", TESTS)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setenv("NAMES", str(tmp_path / "names"))
        return project

    def left(self, tmp_path):
        return sorted(path.name for path in tmp_path.glob("*test_*"))

    def test_alone(self, tested, tmp_path):
        """The test database is made, used and removed; the real one isn't touched."""
        output = tested.manage("test", "-v", "2")
        assert "Ran 10 tests" in output
        assert "OK" in output
        assert self.left(tmp_path) == []
        assert not (tmp_path / "lmdb.db").exists()

    def test_parallel(self, tested, tmp_path):
        """Processes that test in parallel have copies."""
        output = tested.manage("test", "--parallel", "2", "-v", "2")
        assert "Ran 10 tests" in output
        assert "OK" in output
        assert output.count("Cloning test database") == 2
        names = set((tmp_path / "names").read_text().split())
        # One may be so fast that the other gets nothing to do.
        assert all(re.search(r"_[12]\.db\Z", name) for name in names)
        assert self.left(tmp_path) == []

    @pytest.mark.check
    def test_kept(self, tested, tmp_path):
        """With --keepdb the database is kept and found again, also in parallel."""
        for arguments in ([], [], ["--parallel", "2"], ["--parallel", "2"]):
            output = tested.manage("test", "--keepdb", *arguments)
            assert "OK" in output
        assert len(self.left(tmp_path)) == 3
        output = tested.manage("test", "--noinput")
        assert "OK" in output

    def test_in_memory(self, tested, tmp_path):
        """The memory store's test databases, in one process and by forks."""
        text = (tested.path / "project_settings.py").read_text()
        settings = settings_of("memory", tmp_path)
        tested.write(
            "project_settings.py", f"{text}\nDATABASES['default'] = {settings!r}\n"
        )
        for arguments in ([], ["--keepdb"], ["--parallel", "2"]):
            if arguments == ["--parallel", "2"] and not FORKS:
                continue  # see test_bad_input.py
            output = tested.manage("test", *arguments)
            assert "Ran 10 tests" in output
            assert "OK" in output


class TestShell:
    """``dbshell``, a prompt in the same process."""

    @pytest.fixture
    def migrated(self, project):
        project.write("shop/migrations/0001_initial.py", INITIAL)
        project.manage("migrate", "-v", "0")
        return project

    def test_statements(self, migrated):
        """Statements from standard input: their rows, counts and errors."""
        output = migrated.manage(
            "dbshell",
            stdin=(
                "SELECT 1 AS one;\n"
                "INSERT INTO shop_kind (name)\n VALUES ('a;b'), ('c');\n"
                "SELECT missing;\nUPDATE shop_kind SET name = 'x' WHERE id = 1;"
                " SELECT count(*)\nFROM shop_kind;\n"
                ".tables\n.schema\n.nonsense\n"
                "INSERT INTO shop_kind (name) VALUES ('x');\n"
                "SELECT name FROM shop_kind ORDER BY 1"
            ),
        )
        lines = output.splitlines()
        assert lines[:3] == ["one", "---", "1"]
        assert "2 rows" in lines
        assert "1 row" in lines
        assert "Error: no such column: missing" in lines
        assert "shop_kind" in lines
        assert "Error: UNIQUE constraint failed: shop_kind.name" in lines
        assert any(line.startswith('CREATE TABLE "shop_kind"') for line in lines)
        assert "Unknown command .nonsense" in lines
        assert lines[-3:] == ["----", "c", "x"]

    def test_arguments(self, migrated):
        """Statements may be arguments."""
        output = migrated.manage("dbshell", "--", "SELECT 5 AS n", "SELECT NULL AS m")
        assert output.split() == ["n", "-", "5", "m", "----", "NULL"]


def test_check(either):
    """The system checks find nothing wrong, and commands that only ask work."""
    output = either.script(
        """
        from django.core.management import call_command
        call_command("migrate", verbosity=0)
        call_command("check", databases=["default"], fail_level="WARNING")
        call_command("migrate", check=True, verbosity=0)
        call_command("optimizemigration", "shop", "0001", check=True)
        call_command("sqlflush")
        call_command("sqlsequencereset", "shop")
        call_command("diffsettings")
        """
    )
    assert "no issues" in output
