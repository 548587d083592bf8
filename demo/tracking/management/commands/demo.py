"""``manage.py demo``: from nothing to a served site."""

import secrets

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

USERNAME = "admin"


class Command(BaseCommand):
    help = "Migrate, track, create a user, and serve. May be run again."
    # They ask the database, whose server may not run yet.
    requires_system_checks = ()

    def add_arguments(self, parser):
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--no-serve", action="store_true", help="stop before serving"
        )

    def handle(self, *, port, no_serve, **options):
        verbosity = options["verbosity"]
        if settings.DEMO_ENGINE == "immudb":
            # The other engines have no server.
            call_command("dbdev_init", stdout=self.stdout)
        self.check()
        call_command("migrate", verbosity=0)
        call_command("track", machine=True, verbosity=verbosity, stdout=self.stdout)
        password = self.user()
        self.stdout.write(
            f"\n  Site      http://127.0.0.1:{port}/"
            f"\n  Admin     http://127.0.0.1:{port}/admin/"
            f"\n  User      {USERNAME}"
            f"\n  Password  {password}\n"
        )
        self.stdout.flush()
        if not no_serve:
            # --insecure: static files are served although DEBUG is off.
            call_command(
                "runserver",
                f"127.0.0.1:{port}",
                use_reloader=False,
                insecure_serving=True,
            )

    def user(self):
        """Return the password of the demo's user, the same one at each run."""
        kept = settings.DATA / "password"
        if not kept.exists():
            kept.touch(mode=0o600)
            kept.write_text(secrets.token_urlsafe(12))
        password = kept.read_text()
        users = get_user_model().objects
        user = users.filter(username=USERNAME).first()
        if user is None:
            user = users.create_superuser(USERNAME, "admin@example.com", password)
        return password if user.check_password(password) else "as you changed it"
