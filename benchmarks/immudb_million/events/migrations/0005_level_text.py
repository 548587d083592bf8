from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0004_note_index")]
    operations = [
        migrations.AlterField("event", "level", models.CharField(max_length=10))
    ]
