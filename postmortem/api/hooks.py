"""Where signed webhooks arrive. No session, no token: the signature is all that counts."""

from dataclasses import asdict
from uuid import UUID

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from postmortem.changes.feeds import receive
from postmortem.changes.models import ChangeFeed
from postmortem.changes.webhooks import MAX_BODY_BYTES, Forged
from postmortem.lib.errors import UserError


@csrf_exempt
@login_not_required
def receive_changes(request: HttpRequest, public_id: UUID) -> JsonResponse:
    """Take one delivery. Whoever does not sign learns nothing, not even whether the feed exists."""
    refused = JsonResponse({"detail": "The signature is missing, wrong or too old."}, status=401)
    length = request.headers.get("Content-Length", "")
    if request.method != "POST" or not length.isdecimal():
        return refused
    sending = ChangeFeed.objects.exclude(kind__in=ChangeFeed.PULLED).filter(public_id=public_id, paused=False)
    feed = sending.select_related("feature", "made_by").first()
    if feed is None:
        return refused
    if int(length) > MAX_BODY_BYTES:
        return JsonResponse({"detail": f"A delivery has at most {MAX_BODY_BYTES // 1024} KB."}, status=413)
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        outcome = receive(feed=feed, headers=headers, body=request.read(MAX_BODY_BYTES))
    except Forged:
        return refused
    except UserError as error:
        return JsonResponse({"detail": str(error)}, status=400)
    return JsonResponse({"repeated": True} if outcome is None else asdict(outcome))
