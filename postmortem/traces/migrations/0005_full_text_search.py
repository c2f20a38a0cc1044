"""The index of words: FTS5 beside the table on SQLite, a generated tsvector with GIN on PostgreSQL.

The words come parted and in lower case and there are no stems, so that both find the same.
"""

from django.db import migrations

_SQLITE = [
    "CREATE VIRTUAL TABLE traces_words USING fts5(text, content='traces_tracetext', content_rowid='trace_id', "
    "tokenize='unicode61 remove_diacritics 0', prefix='2 3')",
    "CREATE TRIGGER traces_words_insert AFTER INSERT ON traces_tracetext BEGIN "
    "INSERT INTO traces_words(rowid, text) VALUES (new.trace_id, new.text); END",
    "CREATE TRIGGER traces_words_delete AFTER DELETE ON traces_tracetext BEGIN "
    "INSERT INTO traces_words(traces_words, rowid, text) VALUES ('delete', old.trace_id, old.text); END",
    "CREATE TRIGGER traces_words_update AFTER UPDATE OF text ON traces_tracetext BEGIN "
    "INSERT INTO traces_words(traces_words, rowid, text) VALUES ('delete', old.trace_id, old.text); "
    "INSERT INTO traces_words(rowid, text) VALUES (new.trace_id, new.text); END",
]
_POSTGRESQL = [
    "ALTER TABLE traces_tracetext ADD COLUMN search tsvector GENERATED ALWAYS AS "
    "(array_to_tsvector(string_to_array(text, ' '))) STORED",
    "CREATE INDEX traces_words_search ON traces_tracetext USING gin (search)",
]


def make(apps, schema_editor):
    for statement in _POSTGRESQL if schema_editor.connection.vendor == "postgresql" else _SQLITE:
        schema_editor.execute(statement)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE traces_tracetext DROP COLUMN search")
        return
    for action in ("insert", "delete", "update"):
        schema_editor.execute(f"DROP TRIGGER traces_words_{action}")
    schema_editor.execute("DROP TABLE traces_words")


class Migration(migrations.Migration):
    dependencies = [("traces", "0004_words_of_traces")]
    operations = [migrations.RunPython(make, drop)]
