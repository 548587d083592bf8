"""A backend as djangotoolbox's guide of 2010 has it, over :mod:`.lowlevel`."""
