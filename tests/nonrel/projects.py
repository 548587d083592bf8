"""Small Django projects in a folder, each command a process of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import backendkit
from tests import forked

MANAGE = """
import os, sys
if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
SETTINGS = """
SECRET_KEY = "secret"
INSTALLED_APPS = {apps!r}
DATABASES = {{"default": {database!r}}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
MIDDLEWARE = []
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""


class Project:
    """
    A project with one app, named ``shop``.

    :param path: where to make it.
    :param database: its entry of DATABASES.
    """

    def __init__(self, path, database, apps=("shop",), **settings):
        self.path = Path(path)
        self.write("manage.py", MANAGE)
        text = SETTINGS.format(apps=list(apps), database=database)
        for name, value in settings.items():
            text += f"{name} = {value!r}\n"
        self.write("project_settings.py", text)
        self.write("shop/__init__.py", "")

    def write(self, name, text):
        """Write a file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    @property
    def environment(self):
        """The environment of its processes."""
        source = Path(backendkit.__file__).parent.parent
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")},
            "PYTHONPATH": os.pathsep.join([str(self.path), str(source)]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(self, *arguments, **options):
        """Start Python in the project's folder."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def python(self, *arguments, stdin="", fails=False):
        """Run Python in the project's folder; return what it printed."""
        done = forked.run(
            arguments, cwd=self.path, env=self.environment, stdin=stdin, timeout=120
        )
        output = done.stdout + done.stderr
        assert bool(done.returncode) == fails, output
        return output

    def manage(self, *arguments, **options):
        """Run a management command; return what it printed."""
        return self.python("manage.py", *arguments, **options)

    def script(self, text, **options):
        """Run a text as a script of the project; return what it printed."""
        return self.python("-c", setup(text), **options)

    def start_script(self, text, *arguments):
        """Start a text as a script of the project."""
        return self.start("-c", setup(text), *arguments)


def setup(text):
    return (
        "import os\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'project_settings'\n"
        "import django\ndjango.setup()\n" + textwrap.dedent(text)
    )
