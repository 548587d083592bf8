from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0003_note_not_null")]
    operations = [
        migrations.AlterField(
            "event",
            "note",
            models.CharField(db_index=True, default="", max_length=100),
        )
    ]
