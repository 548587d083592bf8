"""
Short Python programs, each in a fork of a process that has Django loaded.

To load Django takes nine tenths of what a short command does, and the tests run hundreds.
"""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import backendkit

SOURCE = str(Path(backendkit.__file__).parent.parent)
_SERVER = """
import gc, json, logging.config, os, runpy, sys, traceback, types
import django.db.models, django.core.management.commands.migrate
import django.core.management.commands.makemigrations
import django.core.management.commands.loaddata, django.template, django.forms
import django.template.defaulttags, django.template.loader_tags, sqlparse
import django.urls, django.utils.log, django.views.debug, django.views.generic
import backendkit.backends.lmdb.base, backendkit.dbdev.backendregistry

backendkit.dbdev.backendregistry.engines()  # which reads all entry points, once
# A child that collects garbage would copy all of this.
gc.freeze()
kept = list(sys.path[1:])
for line in sys.stdin:
    arguments, folder, environment = json.loads(line)
    pid = os.fork()
    if not pid:
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            # The same file, whichever folder the program changes to.
            how = os.O_RDWR | os.O_CREAT | (os.O_TRUNC if number else 0)
            os.dup2(os.open(os.path.join(environment["FORKED"], name), how), number)
        os.environ.clear()
        os.environ.update(environment)
        del os.environ["FORKED"]
        os.chdir(folder)
        sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
        named = [one for one in environment.get("PYTHONPATH", "").split(os.pathsep) if one]
        first = "" if arguments[0] == "-c" else os.path.dirname(os.path.abspath(arguments[0]))
        sys.path[:] = [first, *named, *(one for one in kept if one not in named)]
        status = 1
        try:
            if arguments[0] == "-c":
                sys.argv = ["-c", *arguments[2:]]
                # What it defines is found there, by who unpickles it.
                main = sys.modules["__main__"] = types.ModuleType("__main__")
                exec(compile(arguments[1], "<string>", "exec"), main.__dict__)
            else:
                sys.argv = list(arguments)
                runpy.run_path(arguments[0], run_name="__main__")
            status = 0
        except SystemExit as end:
            if isinstance(end.code, int) or end.code is None:
                status = end.code or 0
            else:
                print(end.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
_turn = threading.Lock()


@functools.cache
def _server(owner):
    """The process that forks, one for each process of the tests."""
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        env={**os.environ, "PYTHONPATH": SOURCE, "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )

    def end():
        if os.getpid() == owner:
            server.kill()
            server.communicate()

    atexit.register(end)
    return server


def run(arguments, *, cwd, env, stdin="", timeout=300):
    """
    Run Python, as :func:`subprocess.run` would; return how it ended and what it said.

    :param arguments: a path of a program, or ``-c`` and a text, and what it is given.
    :param timeout: seconds after which nobody waits any more, and the test fails.
    """
    server = _server(os.getpid())
    with _turn, tempfile.TemporaryDirectory() as place:
        files = [Path(place, name) for name in ("stdin", "stdout", "stderr")]
        files[0].write_text(stdin, encoding="utf-8")
        request = [list(map(str, arguments)), str(cwd), {**env, "FORKED": place}]
        impatient = threading.Timer(timeout, server.kill)
        impatient.start()
        try:
            server.stdin.write(json.dumps(request) + "\n")
            server.stdin.flush()
            said = server.stdout.readline()
        finally:
            impatient.cancel()
        assert said, f"{arguments} didn't end in {timeout} s"
        texts = [path.read_text(encoding="utf-8") for path in files[1:]]
    return subprocess.CompletedProcess(arguments, int(said), *texts)
