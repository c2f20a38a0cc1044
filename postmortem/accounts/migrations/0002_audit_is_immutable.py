"""The database itself refuses to change or delete audit entries, whatever code or console asks."""

from django.db import migrations

_SENTENCE = "The audit log is only ever added to."


def _forbid_on_sqlite(schema_editor):
    for action in ("UPDATE", "DELETE"):
        schema_editor.execute(
            f"CREATE TRIGGER audit_entry_refuses_{action.lower()} BEFORE {action} ON accounts_auditentry "
            f"BEGIN SELECT RAISE(ABORT, '{_SENTENCE}'); END"
        )


def _forbid_on_postgresql(schema_editor):
    schema_editor.execute(
        "CREATE FUNCTION audit_entry_refuses() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_SENTENCE}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    schema_editor.execute(
        "CREATE TRIGGER audit_entry_refuses BEFORE UPDATE OR DELETE ON accounts_auditentry "
        "FOR EACH ROW EXECUTE FUNCTION audit_entry_refuses()"
    )


def forbid(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        _forbid_on_postgresql(schema_editor)
    else:
        _forbid_on_sqlite(schema_editor)


def allow(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER audit_entry_refuses ON accounts_auditentry")
        schema_editor.execute("DROP FUNCTION audit_entry_refuses()")
    else:
        for action in ("update", "delete"):
            schema_editor.execute(f"DROP TRIGGER audit_entry_refuses_{action}")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(forbid, allow)]
