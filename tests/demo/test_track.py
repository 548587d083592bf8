"""``manage.py track`` and ``manage.py demo``."""

import hashlib
import json
import re
import stat
import uuid

import pytest

from .running import Demo

COUNTS = """
import json
print(json.dumps({model.__name__: model.objects.count() for model in (
    Distribution, File, Dependency, Person, Scan, Sighting)}))
"""


@pytest.fixture
def counts(demo):
    return lambda: json.loads(demo.shell(COUNTS))


def test_records_what_is_installed(demo, site, counts):
    """
    Everything in a directory is recorded, with its files and its relations.
    """
    done = demo.run("track", "--path", site.path)

    assert "65 distributions" in done.stdout
    assert counts() == {
        "Distribution": 65,
        # Two to install a module, four for beta's three, and RECORD itself.
        "File": 64 * 3 + 5,
        # alpha: beta, gamma-ray, delta; beta, omega: gamma-ray; gamma-ray: omega.
        "Dependency": 6,
        "Person": 3,
        "Scan": 1,
        "Sighting": 65,
    }
    alpha = demo.shell(
        "a = Distribution.objects.get(slug='alpha')\n"
        "print(a.name, a.licence, a.licence.parent, a.file_count)\n"
        "print(a.metadata['requires'])\n"
        "print(*[person.email for person in a.authors.order_by('email')])\n"
        "print(*[other.slug for other in a.dependencies.order_by('slug')])\n"
        "print(a.size == sum(file.size for file in a.files.all()))\n"
        "print(a.bom_ref)\n"
        "print(a.files.get(path='Alpha.py').sha256)"
    )
    assert alpha.splitlines() == [
        "Alpha MIT Permissive 3",
        """['beta>=1.0', 'Gamma_Ray (>=2,<3)', "delta; extra == 'more'"]""",
        "ada@example.com grace@example.com",
        "beta delta gamma-ray",
        "True",
        str(uuid.uuid5(uuid.NAMESPACE_URL, "pkg:pypi/alpha@1.0")),
        hashlib.sha256((site.path / "Alpha.py").read_bytes()).hexdigest(),
    ]


@pytest.mark.check
def test_tracking_again_changes_nothing(demo, site, counts):
    """
    A second scan of the same directory adds a scan and its sightings only.
    """
    demo.run("track", "--path", site.path)
    before = counts()

    demo.run("track", "--path", site.path)

    assert counts() == before | {"Scan": 2, "Sighting": 130}
    assert demo.shell("print(Scan.objects.first().details['rewritten'])") == "0"


def test_files_follow_a_change(demo, site):
    """
    Where a distribution's files changed, they are replaced; a review is kept.
    """
    demo.run("track", "--path", site.path)
    demo.shell(
        "Distribution.objects.filter(slug='beta')"
        ".update(review='approved', reviewed_on='2024-02-29', risk='1.5')"
    )
    site.install("beta", "1.5", files={"beta.py": "", "new.py": "x"})

    demo.run("track", "--path", site.path)

    assert demo.shell(
        "beta = Distribution.objects.get(slug='beta')\n"
        "print(beta.review, beta.reviewed_on, beta.risk,"
        " *sorted(f.path for f in beta.files.all()))"
    ).split() == [
        *("approved", "2024-02-29", "1.5"),
        *("beta-1.5.dist-info/METADATA", "beta-1.5.dist-info/RECORD"),
        *("beta.py", "new.py"),
    ]


def test_a_failing_scan_leaves_nothing(demo, site, counts):
    """
    A scan is one transaction: an error in its middle undoes all of it.
    """
    demo.run("track", "--path", site.path)
    before = counts()
    site.install("zeta", "1.0")

    assert "stopped" in demo.shell(
        "from tracking import recorder\n"
        "from tracking.inventory import installed\n"
        "def stop(count): raise RuntimeError\n"
        f"found = list(installed([{str(site.path)!r}]))\n"
        "try: recorder.record(found, stop)\n"
        "except RuntimeError: print('stopped')"
    )
    assert counts() == before


def test_a_path_that_is_none(demo, tmp_path):
    """
    A directory that isn't there is said so.
    """
    done = demo.run("track", "--path", tmp_path / "nowhere", check=False)

    assert done.returncode == 1
    assert re.search(r"nowhere isn't a directory", done.stderr)


def test_demo_goes_from_nothing_to_a_user(tmp_path, site):
    """
    ``manage.py demo`` migrates, records what is there, and makes a user.
    """
    said = Demo(tmp_path / "data").shell(
        "from django.contrib.auth import authenticate\n"
        "from django.core.management import call_command\n"
        "from tracking.management.commands import track\n"
        f"track.site_directories = lambda: [{str(site.path)!r}]\n"
        "call_command('demo', no_serve=True)\n"
        "from django.conf import settings\n"
        "password = (settings.DATA / 'password').read_text()\n"
        "print(authenticate(username='admin', password=password))\n"
        "print(Distribution.objects.count())"
    )
    assert said.endswith("admin\n65")


@pytest.mark.check
def test_demo_runs_twice(tmp_path):
    """
    ``manage.py demo`` goes from nothing to a user with a password, on what is
    really installed; when run again it prints the same password.
    """
    demo = Demo(tmp_path / "data")
    first = demo.run("demo", "--no-serve", "--port", 8123).stdout
    second = demo.run("demo", "--no-serve").stdout

    password = re.search(r"Password  (\S{16})\n", first)[1]
    assert f"Password  {password}\n" in second
    assert "http://127.0.0.1:8123/admin/" in first
    assert "100%" in first
    assert stat.S_IMODE((tmp_path / "data" / "password").stat().st_mode) == 0o600
    assert (
        demo.shell(
            "from django.contrib.auth import authenticate\n"
            f"print(authenticate(username='admin', password={password!r}))\n"
            "print(Distribution.objects.filter(slug='django').exists())"
        )
        == "admin\nTrue"
    )


def test_migrations_match_the_models(demo):
    """
    No migration is missing.
    """
    demo.run("makemigrations", "--check", "--dry-run")


@pytest.mark.check
def test_dump_and_load(demo, site, tmp_path):
    """
    What ``dumpdata`` writes, ``loaddata`` reads into an empty database.
    """
    demo.run("track", "--path", site.path)
    dump = tmp_path / "dump.json"
    demo.run("dumpdata", "tracking", "--output", dump)
    other = Demo(tmp_path / "other")
    other.run("migrate", "--verbosity", 0)

    other.run("loaddata", dump)

    assert other.shell(COUNTS) == demo.shell(COUNTS)
