from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0002_weight")]
    operations = [
        migrations.AlterField(
            "event", "note", models.CharField(default="", max_length=100)
        )
    ]
