"""Signing in and out, one's own account, and the page that explains the method."""

from zoneinfo import available_timezones

from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse_lazy
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST
from knox.models import AuthToken

from postmortem.accounts.services import set_time_zone
from postmortem.lib.errors import UserError

_THEMES = ("light", "dark")
_YEAR_SECONDS = 365 * 86_400


class SignInForm(AuthenticationForm):
    """E-mail and pass phrase."""

    error_messages = {  # noqa: RUF012
        "invalid_login": "This e-mail and pass phrase do not go together. Check both and try again.",
        "inactive": "This account is switched off. Ask an administrator.",
    }


@require_GET
def account(request: HttpRequest) -> HttpResponse:
    """The signed-in person: role, theme, pass phrase, API tokens."""
    tokens = AuthToken.objects.filter(user=request.user).order_by("-created")
    return render(
        request,
        "accounts/account.html",
        {"tokens": tokens, "new_token": request.session.pop("token", ""), "zones": sorted(available_timezones())},
    )


@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Remember light, dark or the system's choice in a cookie."""
    theme = request.POST.get("theme", "")
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
        target = str(reverse_lazy("account"))
    response = redirect(target)
    if theme in _THEMES:
        response.set_cookie("theme", theme, max_age=_YEAR_SECONDS, samesite="Lax")
    else:
        response.delete_cookie("theme")
    return response


@require_POST
def choose_keys(request: HttpRequest) -> HttpResponse:
    """Switch the shortcuts of a single key off or on, for this browser (WCAG 2.1.4)."""
    response = redirect("account")
    if request.POST.get("keys") == "off":
        response.set_cookie("keys", "off", max_age=_YEAR_SECONDS, samesite="Lax")
        messages.success(request, "Single keys do nothing any more in this browser.")
    else:
        response.delete_cookie("keys")
        messages.success(request, "Single keys work again in this browser.")
    return response


@require_POST
def choose_time_zone(request: HttpRequest) -> HttpResponse:
    """Show times on the person's own clock beside UTC."""
    try:
        set_time_zone(person=request.user, time_zone=request.POST.get("time_zone", "").strip())
        messages.success(request, f"Times are shown in UTC with {request.user.time_zone} beside them.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect("account")


@require_POST
def make_token(request: HttpRequest) -> HttpResponse:
    """Make an API token; it is shown once and stored hashed."""
    _, token = AuthToken.objects.create(user=request.user)
    request.session["token"] = token
    return redirect("account")


@require_POST
def revoke_token(request: HttpRequest, key: str) -> HttpResponse:
    """Revoke one of one's own API tokens."""
    AuthToken.objects.filter(user=request.user, token_key=key).delete()
    messages.success(request, "The token no longer works.")
    return redirect("account")


@require_GET
def method(request: HttpRequest) -> HttpResponse:
    """How the attribution works, in two minutes and in ten."""
    return render(request, "attribution/method.html")


urlpatterns = [
    path(
        "sign-in/",
        login_not_required(
            auth_views.LoginView.as_view(
                template_name="accounts/sign_in.html",
                authentication_form=SignInForm,
                redirect_authenticated_user=True,
            )
        ),
        name="sign-in",
    ),
    path("sign-out/", auth_views.LogoutView.as_view(), name="sign-out"),
    path("account/", account, name="account"),
    path(
        "account/pass-phrase/",
        auth_views.PasswordChangeView.as_view(
            template_name="accounts/pass_phrase.html", success_url=reverse_lazy("account")
        ),
        name="pass-phrase",
    ),
    path("account/theme/", choose_theme, name="theme"),
    path("account/keys/", choose_keys, name="keys"),
    path("account/time-zone/", choose_time_zone, name="time-zone"),
    path("account/tokens/", make_token, name="token-new"),
    path("account/tokens/<str:key>/revoke/", revoke_token, name="token-revoke"),
    path("method/", method, name="method"),
]
