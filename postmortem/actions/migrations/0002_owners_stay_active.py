from django.conf import settings
from django.db import migrations

from postmortem.actions.triggers import drop_triggers, install_triggers


class Migration(migrations.Migration):
    dependencies = [
        ("actions", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [migrations.RunPython(install_triggers, drop_triggers)]
