"""A project with Django's own apps, and its commands, on a real server."""

import os

import pytest

from tests.nonrel.projects import Project

pytest.importorskip("grpc", reason="needs the extra immudb")

URLS = """
from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(request.session["count"])

urlpatterns = [path("admin/", admin.site.urls), path("count/", count)]
"""

MODELS = """
from django.contrib import admin
from django.db import models

class Kind(models.Model):
    name = models.CharField(max_length=20, unique=True)

    def __str__(self):
        return self.name

class Article(models.Model):
    title = models.CharField(max_length=40)
    kind = models.ForeignKey(Kind, models.CASCADE, null=True, blank=True)

@admin.register(Kind, Article)
class Admin(admin.ModelAdmin):
    search_fields = ["id"]
"""

APPS = (
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "shop",
)


@pytest.fixture
def project(tmp_path, settings_of_database, connection, place):
    """A project with its tables in the server's database, which is empty otherwise."""
    project = Project(
        tmp_path / "project",
        {
            **settings_of_database,
            "OPTIONS": {"connect_timeout": 300.0, "timeout": 300.0},
        },
        APPS,
        ROOT_URLCONF="urls",
        ALLOWED_HOSTS=["testserver"],
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.db.DatabaseCache",
                "LOCATION": "cache table",
            }
        },
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
        SESSION_ENGINE="django.contrib.sessions.backends.db",
    )
    with (project.path / "project_settings.py").open("a") as file:
        file.write(
            "MIDDLEWARE = ['django.contrib.sessions.middleware.SessionMiddleware',\n"
            "    'django.contrib.auth.middleware.AuthenticationMiddleware',\n"
            "    'django.contrib.messages.middleware.MessageMiddleware']\n"
        )
    project.write("urls.py", URLS)
    project.write("shop/models.py", MODELS)
    return project


@pytest.mark.check
def test_stock_apps(project):
    """Migrations, a superuser, the admin, sessions, content types and the cache."""
    project.manage("makemigrations", "shop")
    output = project.manage("migrate")
    assert "Applying auth.0012" in output
    assert "Applying sessions.0001_initial... OK" in output
    output = project.script(
        """
        import os
        from django.core.management import call_command
        os.environ["DJANGO_SUPERUSER_PASSWORD"] = "s3cret"
        call_command("createsuperuser", interactive=False, username="root",
            email="root@example.com")
        call_command("createcachetable")
        call_command("createcachetable")
        call_command("check", databases=["default"], fail_level="WARNING")
        call_command("migrate", check=True)
        """
    )
    assert "Superuser created successfully" in output
    assert "Cache table 'cache table' already exists" in output
    project.script(
        """
        import datetime
        from django.contrib.admin.models import LogEntry
        from django.contrib.auth.models import Permission, User
        from django.contrib.contenttypes.models import ContentType
        from django.contrib.sessions.models import Session
        from django.core.cache import cache
        from django.core.management import CommandError, call_command
        from django.test import Client
        from django.utils import timezone
        from shop.models import Article, Kind

        # As a second process sees it.
        root = User.objects.get(username="root")
        assert root.is_superuser and root.check_password("s3cret")
        try:
            call_command("createsuperuser", interactive=False, username="root", email="")
        except CommandError as error:
            assert "already taken" in str(error)
        else:
            raise AssertionError

        client = Client()
        assert client.get("/admin/").status_code == 302
        assert not client.login(username="root", password="wrong")
        page = client.post("/admin/login/?next=/admin/",
            {"username": "root", "password": "s3cret"}, follow=True)
        assert b"Site administration" in page.content

        page = client.post("/admin/shop/kind/add/", {"name": "news"}, follow=True)
        assert b"was added successfully" in page.content
        page = client.post("/admin/shop/kind/add/", {"name": "news"})
        assert b"Kind with this Name already exists" in page.content
        kind = Kind.objects.get()
        for title in ("a", "b"):
            client.post("/admin/shop/article/add/", {"title": title, "kind": kind.pk})
        page = client.get("/admin/shop/article/", {"q": Article.objects.get(title="b").pk})
        assert b"1 article" in page.content
        article = Article.objects.get(title="a")
        path = f"/admin/shop/article/{article.pk}/"
        page = client.post(path + "change/", {"title": "c", "kind": ""}, follow=True)
        assert b"was changed successfully" in page.content
        assert Article.objects.filter(title="c", kind=None).exists()
        assert b"Changed" in client.get(path + "history/").content
        page = client.post(f"/admin/shop/kind/{kind.pk}/delete/", {"post": "yes"},
            follow=True)
        assert b"was deleted successfully" in page.content
        assert [a.title for a in Article.objects.all()] == ["c"]
        page = client.post("/admin/shop/article/", {"action": "delete_selected",
            "_selected_action": [article.pk], "post": "yes"}, follow=True)
        assert b"Successfully deleted 1 article" in page.content
        assert LogEntry.objects.count() == 6

        assert [int(client.get("/count/").content) for _ in range(3)] == [1, 2, 3]
        other = Client()
        assert int(other.get("/count/").content) == 1
        assert Session.objects.count() == 2
        Session.objects.update(expire_date=timezone.now() - datetime.timedelta(1))
        assert int(client.get("/count/").content) == 1
        call_command("clearsessions")
        assert Session.objects.count() == 1

        kinds = ContentType.objects.get_for_models(Kind, Article)
        assert kinds[Kind].model_class() is Kind
        assert kinds[Article].permission_set.count() == 4
        user = User.objects.create_user("ann", password="x")
        user.user_permissions.add(Permission.objects.get(codename="view_kind"))
        assert user.has_perm("shop.view_kind") and not user.has_perm("shop.add_kind")
        ContentType.objects.clear_cache()
        assert ContentType.objects.get(model="article") == kinds[Article]

        cache.set("a", {"b": [1, 2]})
        cache.set_many({f"k{n}": n for n in range(20)})
        assert cache.get("a") == {"b": [1, 2]}
        assert cache.get_many(["k1", "k19", "none"]) == {"k1": 1, "k19": 19}
        assert cache.incr("k1") == 2
        assert not cache.add("a", 1)
        assert cache.add("new", 1)
        cache.set("gone", 1, timeout=-1)
        assert cache.get("gone") is None
        cache.touch("a", timeout=-1)
        assert cache.get("a") is None
        cache.delete("k2")
        assert "k2" not in cache and "k3" in cache
        cache.clear()
        assert cache.get("k3") is None
        """
    )


@pytest.mark.check
def test_inspectdb_of_another_clients_table(project, connection):
    """And what it writes works as models, without migrations."""
    connection.run(
        """
        CREATE TABLE customers (
            id INTEGER AUTO_INCREMENT, name VARCHAR[40] NOT NULL, age INTEGER,
            active BOOLEAN, score FLOAT, photo BLOB, joined TIMESTAMP, token UUID,
            notes VARCHAR, "order" INTEGER, PRIMARY KEY id
        );
        CREATE UNIQUE INDEX ON customers (name);
        CREATE TABLE stays (house VARCHAR[20], night INTEGER, guest INTEGER,
            PRIMARY KEY (house, night));
        """
    )
    connection.run(
        'INSERT INTO customers (name, age, active, score, photo, joined, token, notes, "order")'
        " VALUES (?, ?, ?, ?, ?, NOW(), RANDOM_UUID(), ?, ?)",
        ("ann", 33, True, 1.5, b"\0\xff", "é", 7),
    )
    output = project.manage("inspectdb")
    project.write("shop/models.py", output)
    assert "class Customers(models.Model)" in output
    for line in (
        "name = models.CharField(unique=True, max_length=40)",
        "active = models.BooleanField(blank=True, null=True)",
        "score = models.FloatField(blank=True, null=True)",
        "photo = models.BinaryField(blank=True, null=True)",
        "joined = models.DateTimeField(blank=True, null=True)",
        "token = models.UUIDField(blank=True, null=True)",
        "order = models.",
    ):
        assert line in output, output
    project.script(
        """
        from shop.models import Customers, Stays

        ann = Customers.objects.get(name="ann")
        assert (ann.age, ann.active, ann.score, bytes(ann.photo), ann.notes, ann.order) == (
            33, True, 1.5, b"\\0\\xff", "é", 7)
        assert ann.joined is not None and ann.token.version == 4
        assert Customers.objects.filter(token=ann.token, order__gt=5).exists()
        new = Customers.objects.create(name="bob", score=2)
        assert new.pk > ann.pk
        ann.age += 1
        ann.save()
        Stays.objects.create(house="h", night=1, guest=new.pk)
        assert Stays.objects.get(house="h").guest == new.pk
        """
    )
    assert connection.query(
        "SELECT name, age, score FROM customers ORDER BY name"
    ).rows == [("ann", 34, 1.5), ("bob", None, 2.0)]


@pytest.mark.check
def test_dbshell(project, tmp_path, monkeypatch, settings_of_database):
    """immuclient if it is on PATH, with no secret on its command line."""
    shown = project.manage("dbshell", "--", "SELECT 5 AS n")
    assert shown.split() == ["n", "-", "5"]
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "immuclient"
    program.write_text('#!/bin/sh\necho "$@"\necho "$IMMUCLIENT_PASSWORD" >&2\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    arguments, secret = project.manage("dbshell", "--", "query", "x").splitlines()
    assert arguments.endswith("--database=defaultdb query x")
    assert f"--immudb-port={settings_of_database['PORT']}" in arguments
    assert secret == settings_of_database["PASSWORD"]
    assert secret not in arguments
    # What goes wrong in it is an error of the command's.
    program.write_text("#!/bin/sh\nexit 3\n")
    assert "returned non-zero exit status 3" in project.manage("dbshell", fails=True)
