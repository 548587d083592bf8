"""
How long a project of 400 models takes to migrate, on LMDB beside SQLite.

It is what a deployment does: ``manage.py migrate`` in a new process, on a new database,
with migrations that ``makemigrations`` has written. The engines take turns.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .measuring import ROOT

SETTINGS = """
DATABASES = {{
    "default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "{folder}/sqlite{number}"}},
    "lmdb": {{"ENGINE": "backendkit.backends.lmdb", "NAME": "{folder}/lmdb{number}"}},
}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [f"app{{number}}" for number in range({apps})]
SECRET_KEY = "of a benchmark"
"""
MODEL = """
class Model{number}(models.Model):
    name = models.CharField(max_length=50, db_index=True)
    slug = models.SlugField(unique=True)
    size = models.IntegerField(default=0)
    at = models.DateTimeField(null=True)
    parent = models.ForeignKey("Model{parent}", models.CASCADE, null=True)
"""


def write_project(folder, apps, models):
    """Write apps with models; each refers to the one before, the first to itself."""
    for app in range(apps):
        migrations = folder / f"app{app}" / "migrations"
        migrations.mkdir(parents=True)
        (migrations / "__init__.py").touch()
        (folder / f"app{app}" / "__init__.py").touch()
        classes = [
            MODEL.format(number=number, parent=max(number - 1, 0))
            for number in range(models)
        ]
        text = "from django.db import models\n" + "\n".join(classes)
        (folder / f"app{app}" / "models.py").write_text(text)


def manage(folder, *args):
    """Run a command of Django; return its seconds, and those of the processor."""
    path = os.pathsep.join([str(folder), str(ROOT / "src")])
    environment = dict(os.environ, DJANGO_SETTINGS_MODULE="settings", PYTHONPATH=path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "django", *args, "-v0"],
        env=environment,
        cwd=folder,
        check=True,
    )
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, spent


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apps", type=int, default=20)
    parser.add_argument("--models", type=int, default=20, help="of each app")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = {"default": [], "lmdb": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_project(folder, options.apps, options.models)
        for number in range(options.rounds):
            (folder / "settings.py").write_text(
                SETTINGS.format(folder=folder, number=number, apps=options.apps)
            )
            if not number:
                manage(folder, "makemigrations")
            for alias in sorted(found, reverse=bool(number % 2)):
                found[alias].append(manage(folder, "migrate", "--database", alias))
    for place, what in enumerate(("seconds", "seconds of the processor")):
        sqlite, lmdb = (
            statistics.median(one[place] for one in found[alias]) for alias in found
        )
        print(f"{what}: SQLite {sqlite:.1f}, LMDB {lmdb:.1f}, {lmdb / sqlite:.2f}")


if __name__ == "__main__":
    main()
