"""A project with a database that is read-only: its commands, its admin."""

import json
import subprocess
import sys

import pytest

from tests.nonrel.projects import Project

from .databases import wrapped

APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "shop",
]
MODELS = """
from django.db import models

class Item(models.Model):
    name = models.CharField(max_length=20)
"""
ADMIN = """
from django.contrib import admin
from .models import Item

class ItemAdmin(admin.ModelAdmin):
    def get_queryset(self, request):
        return super().get_queryset(request).using("reports")

    def save_model(self, request, obj, form, change):
        obj.save(using="reports")

admin.site.register(Item, ItemAdmin)
"""
URLS = """
from django.contrib import admin
from django.urls import path
urlpatterns = [path("admin/", admin.site.urls)]
"""
# Prints what each command did.
SCRIPT = """
import io, json, os
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
import django
django.setup()
from django.core.management import call_command
from django.db import connections, transaction
from shop.models import Item

said = {}

def tell(name, *args, **options):
    out = io.StringIO()
    try:
        call_command(*args, stdout=out, stderr=out, **options)
    except SystemExit as end:
        said[name] = [f"exit {end.code}", out.getvalue()]
    except Exception as error:
        causes = []
        while error is not None:
            causes.append(f"{type(error).__name__}: {error}")
            error = error.__cause__ or error.__context__
        said[name] = [" / ".join(causes), out.getvalue()]
    else:
        said[name] = ["ran", out.getvalue()]

on = {"database": "reports"}
tell("migrate, nothing there", "migrate", verbosity=0, **on)
tell("makemigrations, nothing there", "makemigrations", "shop")
call_command("migrate", verbosity=0)
Item.objects.create(name="one")
tell("migrate", "migrate", **on)
tell("migrate --check", "migrate", check_unapplied=True, **on)
tell("migrate back", "migrate", "shop", "zero", verbosity=0, **on)
tell("migrate --fake", "migrate", "shop", "zero", fake=True, verbosity=0, **on)
tell("showmigrations", "showmigrations", **on)
tell("makemigrations", "makemigrations", check_changes=True, dry_run=True)
tell("sqlmigrate", "sqlmigrate", "shop", "0001", **on)
tell("check", "check", databases=["default", "reports"])
tell("inspectdb", "inspectdb", "shop_item", **on)
tell("dumpdata", "dumpdata", "shop", **on)
with open("items.json", "w") as file:
    json.dump([{"model": "shop.item", "pk": 9, "fields": {"name": "x"}}], file)
tell("loaddata", "loaddata", "items.json", **on)
tell("flush", "flush", interactive=False, **on)
tell("createcachetable", "createcachetable", "cached", **on)
tell("createsuperuser", "createsuperuser", username="a", email="a@example.com",
     interactive=False, **on)
tell("remove_stale_contenttypes", "remove_stale_contenttypes", interactive=False, **on)

from django.contrib.sessions.models import Session
from django.contrib.sessions.backends.db import SessionStore
from django.conf import settings
from importlib import import_module
class Reports:
    def db_for_write(self, model, **hints):
        return "reports" if model is Session else None
    db_for_read = db_for_write
from django.db import router
routers, router.routers = router.routers, [Reports()]
tell("clearsessions", "clearsessions")
try:
    SessionStore().create()
except Exception as error:
    said["session"] = [f"{type(error).__name__}: {error}", ""]
assert SessionStore("0" * 32).load() == {}
router.routers = routers

from django.contrib.auth.models import User
from django.test import Client
User.objects.create_superuser("admin", "a@example.com", "x")
client = Client(raise_request_exception=False)
client.force_login(User.objects.get())
item = Item.objects.get()
pages = {"list": client.get("/admin/shop/item/"),
         "change": client.get(f"/admin/shop/item/{item.pk}/change/"),
         "save": client.post(f"/admin/shop/item/{item.pk}/change/", {"name": "x"}),
         "delete": client.post(f"/admin/shop/item/{item.pk}/delete/", {"post": "yes"})}
said["admin"] = {name: page.status_code for name, page in pages.items()}
said["items"] = list(Item.objects.values_list("name", flat=True))
said["tables"] = connections["default"].introspection.table_names()
print(json.dumps(said))
"""


@pytest.fixture(
    scope="module", params=["sqlite3", pytest.param("lmdb", marks=pytest.mark.check)]
)
def said(request, tmp_path_factory):
    """What each command said, on SQLite and on a store of ours."""
    path = tmp_path_factory.mktemp("project")
    engines = {"lmdb": "backendkit.backends.lmdb"}
    entry = {
        "ENGINE": engines.get(request.param, "django.db.backends.sqlite3"),
        "NAME": str(path / "data"),
        "OPTIONS": {"sync": "none"} if request.param == "lmdb" else {},
    }
    template = {
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
    middleware = (
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    )
    caches = {
        "default": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "cached",
        }
    }
    project = Project(
        path,
        entry,
        APPS,
        DATABASES={"default": entry, "reports": wrapped(entry)},
        MIDDLEWARE=middleware,
        TEMPLATES=[template],
        ROOT_URLCONF="shop.urls",
        ALLOWED_HOSTS=["*"],
        CACHES=caches,
    )
    project.write("shop/models.py", MODELS)
    project.write("shop/admin.py", ADMIN)
    project.write("shop/urls.py", URLS)
    project.write("shop/migrations/__init__.py", "")
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=path,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize(
    "command",
    [
        "makemigrations, nothing there",
        "migrate",
        "migrate --check",
        "showmigrations",
        "makemigrations",
        "sqlmigrate",
        "check",
        "inspectdb",
        "dumpdata",
        "remove_stale_contenttypes",
    ],
)
def test_commands_that_read_run(said, command):
    assert said[command][0] == "ran", said[command]


@pytest.mark.parametrize(
    "command",
    [
        "migrate back",
        "migrate --fake",
        "loaddata",
        "flush",
        "createcachetable",
        "createsuperuser",
        "clearsessions",
        "session",
    ],
)
def test_commands_that_write_say_why_they_cannot(said, command):
    assert "'reports' is read-only and refuses" in said[command][0], said[command]


def test_pages_of_the_admin_that_only_read(said):
    assert said["admin"] == {"list": 200, "change": 200, "save": 500, "delete": 500}


def test_nothing_was_written(said):
    assert said["items"] == ["one"]
    assert "cached" not in said["tables"]


def test_what_is_shown(said):
    assert "name = models.CharField(max_length=20)" in said["inspectdb"][1]
    assert '"name": "one"' in said["dumpdata"][1]
    assert "CREATE TABLE" in said["sqlmigrate"][1]


def test_the_first_migration_needs_a_table_of_migrations(said):
    """The database isn't even made; reading that it isn't there is no error."""
    assert said["migrate, nothing there"][0] != "ran"
