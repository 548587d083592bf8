"""
The demo on LMDB and on Django's SQLite backend, in one run on one machine.

Each engine gets a process and an empty directory of its own. What is installed in
this environment is tracked twice; then pages are requested without a server, the
median of several requests counts.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ("lmdb", "sqlite")
REQUESTS = 15
PAGES = {
    "list": "/",
    "search": "/?q=py&order=dependents",
    "tree": "/tree/",
    "report": "/report/",
    "detail": None,
    "admin list": "/admin/tracking/distribution/",
    "admin files, search": "/admin/tracking/file/?q=__init__",
}


def timed(action):
    """Return how long an action takes, in seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measure():
    """Measure one engine: in a process that has its settings."""
    sys.path.insert(0, str(ROOT / "demo"))
    import django
    from django.core.management import call_command

    django.setup()
    from django.contrib.auth import get_user_model
    from django.test import Client

    from tracking.models import Distribution

    seconds = {"migrate": timed(lambda: call_command("migrate", verbosity=0))}
    for name in ("track, first", "track, again"):
        seconds[name] = timed(lambda: call_command("track", verbosity=0))
    client = Client(SERVER_NAME="localhost")
    client.force_login(get_user_model().objects.create_superuser("bench"))
    largest = Distribution.objects.order_by("-file_count").first()
    for name, page in PAGES.items():
        url = page or largest.get_absolute_url()
        seconds[name] = statistics.median(
            timed(lambda url=url: client.get(url).content) for _ in range(REQUESTS)
        )
    json.dump(seconds, sys.stdout)


def main():
    """Measure all engines and print a table."""
    results = {}
    for engine in ENGINES:
        with tempfile.TemporaryDirectory() as directory:
            done = subprocess.run(
                [sys.executable, __file__, "measure"],
                env=os.environ
                | {
                    "DEMO_ENGINE": engine,
                    "DEMO_DATA": directory,
                    "DJANGO_SETTINGS_MODULE": "tracking.settings",
                },
                stdout=subprocess.PIPE,
                check=True,
            )
            results[engine] = json.loads(done.stdout)
    print(f"{'milliseconds':<24}" + "".join(f"{engine:>10}" for engine in ENGINES))
    for name in results[ENGINES[0]]:
        values = (1000 * results[engine][name] for engine in ENGINES)
        print(f"{name:<24}" + "".join(f"{value:>10.1f}" for value in values))


if __name__ == "__main__":
    measure() if sys.argv[1:] == ["measure"] else main()
