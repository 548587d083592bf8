"""What all tests share. Django is set up by those packages that need it."""

from hypothesis import settings

# A busy machine is slow now and then: time is no property of an example.
settings.register_profile("default", deadline=None, print_blob=True)
settings.load_profile("default")
