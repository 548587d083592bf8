"""Running the demo as its users do: ``manage.py`` in a process for each command."""

import base64
import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from backendkit.dbdev import ports
from tests import forked

MANAGE = Path(__file__).parents[2] / "demo" / "manage.py"
ENGINE = os.environ.get("DEMO_ENGINE") or "lmdb"
PASSWORD = "browser-test-only"


class SitePackages:
    """A directory with distributions as pip would have installed them."""

    def __init__(self, path):
        self.path = path
        path.mkdir()

    def install(self, name, version, *headers, files=None, requires=()):
        """
        Add a distribution.

        :param files: contents by path; one module if not given.
        """
        slug = name.replace("-", "_")
        info = f"{slug}-{version}.dist-info"
        contents = dict(files or {f"{slug}.py": f"version = {version!r}\n"})
        contents[f"{info}/METADATA"] = "\n".join(
            [
                "Metadata-Version: 2.1",
                f"Name: {name}",
                f"Version: {version}",
                *headers,
                *(f"Requires-Dist: {requirement}" for requirement in requires),
                "",
            ]
        )
        record = []
        for relative, text in contents.items():
            target = self.path / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            record.append(
                f"{relative},sha256={digest.decode().rstrip('=')},{len(text)}"
            )
        (self.path / info / "RECORD").write_text(
            "\n".join([*record, f"{info}/RECORD,,", ""])
        )

    def uninstall(self, name, version):
        info = self.path / f"{name.replace('-', '_')}-{version}.dist-info"
        for file in info.iterdir():
            file.unlink()
        info.rmdir()


def fill(site):
    """Install a small world: a chain, a ring, an extra, and plenty of plain ones."""
    site.install(
        "Alpha",
        "1.0",
        "Summary: The first letter, which needs the others",
        "License-Expression: MIT",
        "Author-email: Ada <ada@example.com>, Grace <grace@example.com>",
        "Home-page: https://example.com/alpha",
        requires=["beta>=1.0", "Gamma_Ray (>=2,<3)", "delta; extra == 'more'"],
    )
    site.install(
        "beta",
        "1.5",
        'Summary: Second <b>letter</b> & "quotes" 日本語',
        "Classifier: License :: OSI Approved :: Apache Software License",
        "Author: Ada",
        requires=["gamma-ray"],
        files={
            "beta/__init__.py": "",
            "beta/data.json": "{}" * 5000,
            "beta/style.css": "p {}",
        },
    )
    site.install("gamma-ray", "2.1", "License: GPL-3.0-or-later", requires=["omega"])
    site.install("delta", "0.1", "Author: Ada", requires=["missing", "delta[self]"])
    site.install("omega", "9", requires=["gamma-ray"])
    for number in range(60):
        site.install(f"plain-{number:02}", "1.0", "License: MIT License")


@dataclass
class Demo:
    """A demo with a directory of its own."""

    data: Path
    engine: str = ENGINE

    @property
    def environment(self):
        return os.environ | {
            "DEMO_ENGINE": self.engine,
            "DEMO_DATA": str(self.data),
            "DJANGO_SETTINGS_MODULE": "tracking.settings",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "PYTHONIOENCODING": "utf-8",
        }

    def run(self, *arguments, check=True):
        """Run ``manage.py``; return the finished process, with its texts."""
        done = forked.run([MANAGE, *arguments], cwd=Path.cwd(), env=self.environment)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def shell(self, code):
        """Evaluate code with the demo's models imported; return what it prints."""
        program = (
            "import django\ndjango.setup()\nfrom tracking.models import *\n" + code
        )
        done = forked.run(["-c", program], cwd=MANAGE.parent, env=self.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    @contextlib.contextmanager
    def running(self):
        """Let the database's server run, if it has one; it is gone at the end."""
        if self.engine != "immudb":
            yield
            return
        try:
            self.run("dbdev_init")
            yield
        finally:
            self.run("dbdev_destroy", "--noinput", check=False)

    @contextlib.contextmanager
    def served(self):
        """Serve; give the address; end the process that was started here."""
        for _ in range(5):
            port = ports.choose(str(self.data))
            log = self.data / "server.log"
            with log.open("w") as output:
                server = subprocess.Popen(
                    [
                        *(sys.executable, str(MANAGE), "runserver"),
                        *("--noreload", "--insecure", f"127.0.0.1:{port}"),
                    ],
                    env=self.environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            if answers(server, port):
                break
        else:
            pytest.fail("the server doesn't start:\n" + log.read_text())
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def answers(server, port):
    """Wait until the server answers; False if it ended instead."""
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            # Someone else's server would answer too: ours must still run.
            time.sleep(0.2)
            return server.poll() is None
        time.sleep(0.1)
    server.kill()
    server.wait()
    return False


class Page:
    """A page as text, without its markup."""

    def __init__(self, url):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                self.status, self.html = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            self.status, self.html = error.code, error.read().decode()
        without_head = re.sub(r"(?s)<head>.*?</head>", " ", self.html)
        self.text = " ".join(re.sub(r"<[^>]+>", " ", without_head).split())
        #: Cells of all table rows.
        self.rows = [
            [
                " ".join(re.sub(r"<[^>]+>", " ", cell).split())
                for cell in re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", row)
            ]
            for row in re.findall(r"(?s)<tr[^>]*>(.*?)</tr>", self.html)
        ]

    def names(self):
        """Names of the distributions listed."""
        return re.findall(r'<th scope="row">\s*<a [^>]*>([^<]+)</a>', self.html)
