from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q, Value
from django.db.models.functions import Replace, Trim
from django.db.models.lookups import Exact

from postmortem.actions.triggers import drop_triggers, install_triggers


def says_something(field: str) -> Q:
    words = F(field)
    for blank in "\t\n\r":
        words = Replace(words, Value(blank), Value(""), output_field=models.TextField())
    return ~Q(Exact(Trim(words, output_field=models.TextField()), Value("")))


class Migration(migrations.Migration):
    # SQLite writes the table anew for a constraint, and its triggers would be lost.
    dependencies = [
        ("actions", "0004_reminders"),
        ("incidents", "0003_timeline_marks"),
        ("review", "0005_writers_together"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(drop_triggers, install_triggers),
        migrations.RemoveConstraint("actionitem", "action_has_title"),
        migrations.RemoveConstraint("actionitem", "action_has_verification"),
        migrations.AddConstraint(
            "actionitem", models.CheckConstraint(condition=says_something("title"), name="action_has_title")
        ),
        migrations.AddConstraint(
            "actionitem",
            models.CheckConstraint(condition=says_something("verification"), name="action_has_verification"),
        ),
        migrations.RunPython(install_triggers, drop_triggers),
    ]
