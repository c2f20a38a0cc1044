import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


def keep_plain(apps, schema_editor):
    """Columns are dense already; PostgreSQL need not try to compress them."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE traces_columndata ALTER COLUMN data SET STORAGE EXTERNAL")


class Migration(migrations.Migration):
    dependencies = [
        ("incidents", "0003_timeline_marks"),
        ("traces", "0009_imports_of_files"),
    ]

    operations = [
        migrations.CreateModel(
            name="ColumnData",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=220)),
                ("data", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="ColumnSegment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("low", models.BigIntegerField()),
                ("high", models.BigIntegerField()),
                ("built", models.BooleanField(default=False)),
                ("begun_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("summary", models.JSONField(default=dict)),
            ],
        ),
        migrations.AddField(
            model_name="evidenceimport",
            name="written_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="columnsegment",
            name="incident",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="column_segments", to="incidents.incident"
            ),
        ),
        migrations.AddField(
            model_name="columndata",
            name="segment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="columns", to="traces.columnsegment"
            ),
        ),
        migrations.AddConstraint(
            model_name="columnsegment",
            constraint=models.UniqueConstraint(fields=("incident", "low"), name="segment_once"),
        ),
        migrations.AddConstraint(
            model_name="columnsegment",
            constraint=models.CheckConstraint(
                condition=models.Q(("low__lte", models.F("high"))), name="segment_low_to_high"
            ),
        ),
        migrations.AddConstraint(
            model_name="columndata",
            constraint=models.UniqueConstraint(fields=("segment", "name"), name="column_once"),
        ),
        migrations.RunPython(keep_plain, migrations.RunPython.noop),
    ]
