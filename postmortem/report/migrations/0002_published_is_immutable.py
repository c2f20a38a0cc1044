"""The database itself refuses to change or delete a published report."""

from django.db import migrations

_SENTENCE = "A published report is never changed or deleted; publish a correction."


def forbid(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE FUNCTION report_refuses() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{_SENTENCE}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )
        schema_editor.execute(
            "CREATE TRIGGER report_refuses BEFORE UPDATE OR DELETE ON report_report "
            "FOR EACH ROW EXECUTE FUNCTION report_refuses()"
        )
        return
    for action in ("UPDATE", "DELETE"):
        schema_editor.execute(
            f"CREATE TRIGGER report_refuses_{action.lower()} BEFORE {action} ON report_report "
            f"BEGIN SELECT RAISE(ABORT, '{_SENTENCE}'); END"
        )


def allow(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER report_refuses ON report_report")
        schema_editor.execute("DROP FUNCTION report_refuses()")
        return
    for action in ("update", "delete"):
        schema_editor.execute(f"DROP TRIGGER report_refuses_{action}")


class Migration(migrations.Migration):
    dependencies = [("report", "0001_initial")]
    operations = [migrations.RunPython(forbid, allow)]
