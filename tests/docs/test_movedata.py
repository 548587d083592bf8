"""``howto/movedata`` and ``ref/movedata``: what they print is run."""

import re
import shutil

import pytest

from backendkit.move.management.commands.movedata import Command

from . import pages

HOWTO, REFERENCE = "howto/movedata.rst", "ref/movedata.rst"
SETTINGS = """
from pathlib import Path

BASE_DIR = Path(__file__).parent
SECRET_KEY = "x"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "shop"]
"""
MODELS = """
from django.db import models

class Item(models.Model):
    name = models.CharField(max_length=50)

class Basket(models.Model):
    items = models.ManyToManyField(Item)
"""
MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
FILL = """
import django; django.setup()
from django.contrib.auth.models import User
from shop.models import Basket, Item
User.objects.create(username="ann")
basket = Basket.objects.create()
basket.items.add(Item.objects.create(name="tea"), Item.objects.create(name="jam"))
"""
COUNT = """
import django; django.setup()
from django.contrib.auth.models import User
from shop.models import Basket, Item
print(*(m.objects.using("ledger").count() for m in (User, Item, Basket)))
"""


@pytest.fixture
def project(tmp_path):
    """The how-to's project, with rows in its first database."""
    files = {
        "manage.py": MANAGE,
        "settings.py": SETTINGS + pages.blocks(HOWTO)["settings.py"],
        "shop/models.py": MODELS,
        "shop/migrations/__init__.py": "",
    }
    pages.write(files, tmp_path)
    pages.run(tmp_path, "manage.py", "makemigrations", "shop")
    pages.run(tmp_path, "manage.py", "migrate")
    pages.run(
        tmp_path,
        "-c",
        "import os; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'settings')" + FILL,
    )
    return tmp_path


def count(project):
    return pages.run(
        project,
        "-c",
        "import os; os.environ.setdefault("
        "'DJANGO_SETTINGS_MODULE', 'settings')" + COUNT,
    ).strip()


def run(project, command):
    assert command[0] == "./manage.py"
    return pages.run(project, "manage.py", *command[1:])


@pytest.mark.check
def test_the_howto(project):
    migrate, *moves = (command for command, _ in pages.commands(HOWTO))
    assert migrate == ["./manage.py", "migrate", "--database", "ledger"]
    for move, expected in zip(moves, ["1 2 1", "1 2 0", "1 2 1"], strict=True):
        shutil.rmtree(project / "data", ignore_errors=True)
        run(project, migrate)
        assert "All rows were moved from default to ledger." in run(project, move)
        assert count(project) == expected


@pytest.mark.check
def test_the_reference_shows_real_output(project):
    pages.run(project, "manage.py", "migrate", "--database", "ledger")
    ((command, expected),) = pages.commands(REFERENCE)
    printed = run(project, command)
    assert [line.split() for line in printed.strip().splitlines()] == [
        line.split() for line in expected.splitlines()
    ]


def test_the_reference_has_each_option():
    parser = Command().create_parser("manage.py", "movedata")
    base = {"--help", "-h", "--version", "-v", "--verbosity", "--settings"}
    base |= {"--pythonpath", "--traceback", "--no-color", "--force-color"}
    options = {name for action in parser._actions for name in action.option_strings}
    text = (pages.DOCS / REFERENCE).read_text()
    documented = set()
    for line in re.findall(r"^\.\. option:: (.+)$", text, re.M):
        documented |= {name.split()[0] for name in line.split(", ")}
    assert documented == options - base - {"--skip-checks"} | {"app_label[.ModelName]"}
