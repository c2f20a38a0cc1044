"""Triggers by which the database itself keeps every open action item with an active owner.

SQLite drops a table's triggers when a migration rebuilds the table: a later migration that alters
`accounts_person` or `actions_actionitem` runs `drop_triggers` before and `install_triggers` after.
"""

from typing import Any

# ruff: noqa: S608  (only the constants below go into the statements)

# Translated by actions.services; other doors show them as they are.
HAS_OPEN_ITEMS = "This person owns open action items; hand them over first."
OWNER_INACTIVE = "The owner of an action item must be an active person."

PERSON_UPDATE = "person_keeps_open_items_on_update"
PERSON_DELETE = "person_keeps_open_items_on_delete"
ITEM_INSERT = "action_owner_is_active_on_insert"
ITEM_UPDATE = "action_owner_is_active_on_update"
TRIGGERS = {
    PERSON_UPDATE: "accounts_person",
    PERSON_DELETE: "accounts_person",
    ITEM_INSERT: "actions_actionitem",
    ITEM_UPDATE: "actions_actionitem",
}

_OPEN_ITEMS_OF_OLD = "EXISTS (SELECT 1 FROM actions_actionitem WHERE owner_id = OLD.id AND status IN ('open', 'done'))"

_SQLITE = (
    f"""CREATE TRIGGER {PERSON_UPDATE} BEFORE UPDATE OF is_active ON accounts_person
        WHEN OLD.is_active AND NOT NEW.is_active AND {_OPEN_ITEMS_OF_OLD}
        BEGIN SELECT RAISE(ABORT, '{HAS_OPEN_ITEMS}'); END""",
    f"""CREATE TRIGGER {PERSON_DELETE} BEFORE DELETE ON accounts_person WHEN {_OPEN_ITEMS_OF_OLD}
        BEGIN SELECT RAISE(ABORT, '{HAS_OPEN_ITEMS}'); END""",
    f"""CREATE TRIGGER {ITEM_INSERT} BEFORE INSERT ON actions_actionitem
        WHEN NOT (SELECT is_active FROM accounts_person WHERE id = NEW.owner_id)
        BEGIN SELECT RAISE(ABORT, '{OWNER_INACTIVE}'); END""",
    f"""CREATE TRIGGER {ITEM_UPDATE} BEFORE UPDATE ON actions_actionitem
        WHEN (NEW.status IN ('open', 'done') OR NEW.owner_id <> OLD.owner_id)
            AND NOT (SELECT is_active FROM accounts_person WHERE id = NEW.owner_id)
        BEGIN SELECT RAISE(ABORT, '{OWNER_INACTIVE}'); END""",
)

# check_violation, so that Django raises IntegrityError on both engines. FOR SHARE makes a new item and a
# deactivation of its owner wait for one another; the row of an UPDATE is locked before its trigger runs.
_POSTGRESQL = (
    f"""CREATE FUNCTION person_keeps_open_items() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF {_OPEN_ITEMS_OF_OLD} THEN
                RAISE EXCEPTION '{HAS_OPEN_ITEMS}' USING ERRCODE = 'check_violation';
            END IF;
            IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
            RETURN NEW;
        END $$""",
    f"""CREATE TRIGGER {PERSON_UPDATE} BEFORE UPDATE ON accounts_person FOR EACH ROW
        WHEN (OLD.is_active AND NOT NEW.is_active) EXECUTE FUNCTION person_keeps_open_items()""",
    f"""CREATE TRIGGER {PERSON_DELETE} BEFORE DELETE ON accounts_person FOR EACH ROW
        EXECUTE FUNCTION person_keeps_open_items()""",
    f"""CREATE FUNCTION action_owner_is_active() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE active boolean;
        BEGIN
            SELECT is_active INTO active FROM accounts_person WHERE id = NEW.owner_id FOR SHARE;
            IF NOT active THEN
                RAISE EXCEPTION '{OWNER_INACTIVE}' USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        END $$""",
    f"""CREATE TRIGGER {ITEM_INSERT} BEFORE INSERT ON actions_actionitem FOR EACH ROW
        EXECUTE FUNCTION action_owner_is_active()""",
    f"""CREATE TRIGGER {ITEM_UPDATE} BEFORE UPDATE ON actions_actionitem FOR EACH ROW
        WHEN (NEW.status IN ('open', 'done') OR NEW.owner_id <> OLD.owner_id)
        EXECUTE FUNCTION action_owner_is_active()""",
)


def install_triggers(apps: Any, schema_editor: Any) -> None:
    """Make the triggers; for RunPython."""
    statements = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}.get(schema_editor.connection.vendor)
    if statements is None:
        raise NotImplementedError("The workbench runs on SQLite and PostgreSQL.")
    for statement in statements:
        schema_editor.execute(statement, params=None)


def drop_triggers(apps: Any, schema_editor: Any) -> None:
    """Take them away again; for RunPython."""
    on_table = schema_editor.connection.vendor == "postgresql"
    for trigger, table in TRIGGERS.items():
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {trigger}" + (f" ON {table}" if on_table else ""), params=None)
    if on_table:
        for function in ("person_keeps_open_items", "action_owner_is_active"):
            schema_editor.execute(f"DROP FUNCTION IF EXISTS {function}()", params=None)
