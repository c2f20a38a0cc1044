"""Errors that people read: one clear sentence that says what was wrong and what to do."""


class UserError(ValueError):
    """Input or state that a person can mend; `str(error)` is shown as it is."""


class EditConflict(UserError):
    """Somebody else saved first. Carries what is stored now so that the page can show both.

    `current` maps field names to the stored values, `revision` is the stored revision.
    """

    def __init__(self, message: str, *, current: dict[str, object], revision: int) -> None:
        super().__init__(message)
        self.current = current
        self.revision = revision
