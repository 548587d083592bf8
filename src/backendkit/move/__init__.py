"""``manage.py movedata``: copies the rows of models from one database to another."""
