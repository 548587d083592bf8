from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("events", "0005_level_text")]
    operations = [migrations.RenameField("event", "level", "severity")]
