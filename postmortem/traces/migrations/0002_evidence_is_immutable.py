"""The database itself refuses to change or delete evidence bytes, whatever code or console asks."""

from django.db import migrations

_SENTENCE = "Evidence is never changed or deleted."


def _forbid_on_sqlite(schema_editor):
    for action in ("UPDATE", "DELETE"):
        schema_editor.execute(
            f"CREATE TRIGGER evidence_blob_refuses_{action.lower()} BEFORE {action} ON traces_evidenceblob "
            f"BEGIN SELECT RAISE(ABORT, '{_SENTENCE}'); END"
        )


def _forbid_on_postgresql(schema_editor):
    schema_editor.execute(
        "CREATE FUNCTION evidence_blob_refuses() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_SENTENCE}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    schema_editor.execute(
        "CREATE TRIGGER evidence_blob_refuses BEFORE UPDATE OR DELETE ON traces_evidenceblob "
        "FOR EACH ROW EXECUTE FUNCTION evidence_blob_refuses()"
    )


def forbid(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        _forbid_on_postgresql(schema_editor)
    else:
        _forbid_on_sqlite(schema_editor)


def allow(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER evidence_blob_refuses ON traces_evidenceblob")
        schema_editor.execute("DROP FUNCTION evidence_blob_refuses()")
    else:
        for action in ("update", "delete"):
            schema_editor.execute(f"DROP TRIGGER evidence_blob_refuses_{action}")


class Migration(migrations.Migration):
    dependencies = [("traces", "0001_initial")]
    operations = [migrations.RunPython(forbid, allow)]
