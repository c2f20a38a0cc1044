"""All settings of the workbench; the only module that reads the environment."""

from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from environs import Env

env = Env()

BASE_DIR = Path(__file__).resolve().parent.parent
# Everything the workbench writes on this machine: SQLite file, generated key.
DATA_DIR = Path(env.str("POSTMORTEM_DATA_DIR", str(BASE_DIR / "var")))

DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", "")
if not SECRET_KEY:
    # A key per data folder keeps sessions and encrypted credentials readable after a restart.
    from postmortem.lib.secret_file import read_or_create_secret

    SECRET_KEY = read_or_create_secret(DATA_DIR / "secret_key")

SITE_URL = env.str("SITE_URL", "http://127.0.0.1:8000").rstrip("/")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", [])
ORGANISATION_NAME = env.str("ORGANISATION_NAME", "")
# Fields, periods and authority of the Article 73 annex; "" means the shipped file.
ARTICLE73_RULES = env.str("ARTICLE73_RULES", "")
CODE_VERSION = "0.1.0"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "csp",
    "django_htmx",
    "postmortem.accounts",
    "postmortem.incidents",
    "postmortem.traces",
    "postmortem.changes",
    "postmortem.attribution",
    "postmortem.review",
    "postmortem.actions",
    "postmortem.report",
    "postmortem.insights",
    "postmortem.pipeline",
    "postmortem.api",
    "postmortem.web",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Every page needs a sign-in unless its view says login_not_required.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "postmortem.web.preparing.PrepareFirst",
]

ROOT_URLCONF = "postmortem.urls"
WSGI_APPLICATION = "postmortem.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASE_URL = env.str("DATABASE_URL", f"sqlite:///{DATA_DIR / 'postmortem.sqlite3'}")
DATABASES: dict[str, Any] = {"default": dj_database_url.parse(DATABASE_URL)}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # WAL and IMMEDIATE: writers queue for the lock instead of failing half-way.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    # A file, as in production: the shared in-memory database locks whole tables and knows no WAL.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": 8}
    DATABASES["default"]["CONN_MAX_AGE"] = 0

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.Person"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "incident-list"
LOGOUT_REDIRECT_URL = "sign-in"
AXES_FAILURE_LIMIT = 8
AXES_USERNAME_FORM_FIELD = "username"  # what authenticate() is called with, though people are named by e-mail
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "accounts/locked_out.html"

# Reports leave by e-mail only where a mail server is named.
EMAIL_HOST = env.str("EMAIL_HOST", "")
EMAIL_PORT = env.int("EMAIL_PORT", 587)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", True)
EMAIL_TIMEOUT = 20  # seconds
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "postmortem@localhost")

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_MANIFEST_STRICT = False

# Uploads are read in bounded chunks; these bound what a form may carry.
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
FILE_UPLOAD_HANDLERS = [
    "postmortem.traces.uploads.BoundedUploads",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
IMPORT_MAX_FILE_BYTES = env.int("IMPORT_MAX_FILE_BYTES", 2 * 1024**3)  # of one file, as sent and unpacked
# What may take longer than a request should (packed files count eight times) is imported by a worker.
IMPORT_AT_ONCE_BYTES = env.int("IMPORT_AT_ONCE_BYTES", 8 * 1024**2)
RETIREMENTS_FILE = env.str("POSTMORTEM_RETIREMENTS_FILE", "")  # model retirements besides our own list
IMPORT_WINDOW_MAX_TRACES = env.int("IMPORT_WINDOW_MAX_TRACES", 5000)
SOURCE_READ_TIMEOUT_SECONDS = env.float("SOURCE_READ_TIMEOUT_SECONDS", 60.0)

# A live page keeps one thread of the web process; what is left answers everything else.
LIVE_STREAMS_PER_PROCESS = env.int("LIVE_STREAMS_PER_PROCESS", 64)

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SITE_URL.startswith("https://")
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_TLS_PROXY", False) else None
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "postmortem.api.parsers.BoundedJSONParser",
        "rest_framework.parsers.MultiPartParser",
        "rest_framework.parsers.FormParser",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "postmortem.api.errors.exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Postmortem",
    "DESCRIPTION": "AI incident postmortems: evidence, changes, attribution, review, actions, report.",
    "VERSION": CODE_VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # Fields of the same name with different choices need names of their own in the schema.
    "ENUM_NAME_OVERRIDES": {
        "FeedKindEnum": "postmortem.changes.models.ChangeFeed.Kind",
        "ManifestKindEnum": "postmortem.changes.models.Manifest.Kind",
        "LayerEnum": "postmortem.lib.layers.LAYER_CHOICES",
        "RoleEnum": "postmortem.accounts.models.Role",
        "ParticipantRoleEnum": "postmortem.incidents.models.ParticipantRole",
        "IncidentStatusEnum": "postmortem.incidents.models.Status",
        "EditableStatusEnum": ["draft", "in_review"],
        "ActionStatusEnum": "postmortem.actions.models.ActionItem.Status",
        "ActionKindEnum": "postmortem.actions.models.ActionItem.Kind",
        "MeetingNoteKindEnum": "postmortem.review.models.MeetingNote.Kind",
        "TimelineNoteKindEnum": "postmortem.incidents.models.TimelineEntry.Kind",
        "DifferenceKindEnum": ["same", "gone", "new"],
        "FactorKindEnum": "postmortem.review.models.ContributingFactor.Kind",
        "DeliveryKindEnum": "postmortem.report.models.Delivery.Kind",
        "DeliveryStateEnum": "postmortem.report.models.Delivery.State",
        "RunKindEnum": "postmortem.pipeline.models.Run.Kind",
        "ConnectionKindEnum": "postmortem.traces.models.Connection.Kind",
        "EvidenceImportKindEnum": "postmortem.traces.models.EvidenceImport.Kind",
        "AnswerEnum": "postmortem.review.models.ChecklistAnswer.Value",
        "VerdictEnum": "postmortem.review.models.Verdict.Value",
        "TraceLabelEnum": "postmortem.traces.models.TraceLabel.Value",
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    # One line for every sign that no font has would bury the log.
    "loggers": {"weasyprint": {"level": "ERROR"}, "fontTools": {"level": "ERROR"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", "WARNING")},
}
