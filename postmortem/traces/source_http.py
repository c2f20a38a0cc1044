"""Reads over HTTP that cannot hang, flood or leak: bounded in time and size, no redirects, clear sentences."""

import email.utils
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError

_Answer = TypeVar("_Answer")
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_PASSING = {408, 409, 425, 500, 502, 503}
_TOO_SLOW = {422, 504, 524}
_TRIES = 4


class SourceError(UserError):
    """A trace source could not be read; the sentence says why and what to do."""


class AccessRefused(SourceError):
    """The server refuses the keys, or the keys belong to another project."""


class UnknownTrace(SourceError):
    """The server has no such trace."""


class RateLimited(SourceError):
    """Still limited after the waits that one read may take; try again after `retry_after_seconds`."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TooSlow(SourceError):
    """The server did not answer in time, or said that the read is too large for it; a smaller read may do."""


class WrongApi(SourceError):
    """The server does not have this endpoint: it speaks the other API."""


class HttpFailure(Exception):
    """An answer that is not the wanted one, whichever client read it."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in headers.items()}


class BoundedTransport(httpx.BaseTransport):
    """Reads every answer whole, within a number of bytes (also after unpacking) and of seconds."""

    def __init__(self, inner: httpx.BaseTransport, *, max_bytes: int, max_seconds: float) -> None:
        self._inner, self._max_bytes, self._max_seconds = inner, max_bytes, max_seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As the inner transport, with the body read."""
        deadline = time.monotonic() + self._max_seconds
        response = self._inner.handle_request(request)
        try:
            packed = response.headers.get("content-encoding", "identity").lower()
            body = b"".join(self._pieces(response, packed, deadline, request))
        finally:
            response.close()
        headers = [
            (name, value)
            for name, value in response.headers.raw
            if name.lower() not in {b"content-encoding", b"content-length", b"transfer-encoding"}
        ]
        return httpx.Response(response.status_code, headers=headers, content=body, request=request)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def _pieces(
        self, response: httpx.Response, packed: str, deadline: float, request: httpx.Request
    ) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(wbits=47) if packed in {"gzip", "deflate"} else None
        if packed not in {"identity", "", "gzip", "deflate"}:
            raise SourceError(f"The server packs its answers as {packed[:20]}, which was not asked for.")
        left = self._max_bytes
        for piece in response.stream:  # type: ignore[union-attr]
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer took too long", request=request)
            try:
                plain = unpacker.decompress(piece, left + 1) if unpacker else piece
            except zlib.error as error:
                raise SourceError("The server sent a damaged answer; try again.") from error
            left -= len(plain)
            if left < 0:
                raise TooSlow(f"The server sent more than {self._max_bytes // 1024 // 1024} MB in one answer.")
            yield plain


class Bearer(httpx.Auth):
    """A token in the Authorization header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The request with the token on it."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def credentials(user: str, secret: str) -> tuple[str, str] | httpx.Auth | None:
    """How a server without key pairs is signed in to: a name and password, a token alone, or nothing."""
    if user:
        return (user, secret)
    return Bearer(secret) if secret else None


class HttpReader:
    """One server, read with bounded waits. `sleep` and `max_wait_seconds` bound what a limited read may cost."""

    def __init__(
        self,
        base_url: str,
        *,
        auth: tuple[str, str] | httpx.Auth | None,
        timeout_seconds: float = 60.0,
        max_wait_seconds: float = 120.0,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        sleep: Callable[[float], None] = time.sleep,
        backoff_seconds: float = 1.0,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._max_wait, self._sleep, self._backoff = max_wait_seconds, sleep, backoff_seconds
        self.last_body = b""
        self.last_headers: Mapping[str, str] = {}
        transport = BoundedTransport(
            httpx.HTTPTransport(retries=1, proxy=_proxy(base_url)),
            max_bytes=max_answer_bytes,
            max_seconds=timeout_seconds,
        )
        self.client = httpx.Client(
            transport=transport,
            auth=auth,
            timeout=httpx.Timeout(timeout_seconds, connect=min(10.0, timeout_seconds)),
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            event_hooks={"response": [self._keep]},
        )

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def get(self, path: str, params: Mapping[str, Any]) -> httpx.Response:
        """Plain GET below the base; HttpFailure for any status but 2xx."""
        given = {name: value for name, value in params.items() if value not in (None, "", [])}
        return self._checked(self.client.get(f"{self.base_url}/{path}", params=given))

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """POST of JSON below the base, for servers whose searches are POSTs; HttpFailure for any status but 2xx."""
        return self._checked(self.client.post(f"{self.base_url}/{path}", json=dict(body)))

    @staticmethod
    def _checked(response: httpx.Response) -> httpx.Response:
        if not response.is_success:
            try:
                body = response.json()
            except (ValueError, RecursionError):
                body = response.text[:2000]
            raise HttpFailure(response.status_code, body, response.headers)
        return response

    def read(self, ask: Callable[[], _Answer], *, patient: bool = True) -> tuple[_Answer, bytes]:
        """What `ask` answers, with the exact bytes of the answer. Waits and asks again where that may help.

        Not `patient`: a slow server is given up at the first time-out, because the caller will ask for less.
        Raises a SourceError with one clear sentence.
        """
        waited = 0.0
        for attempt in range(1, _TRIES + 1):
            try:
                return ask(), self.last_body
            except HttpFailure as failure:
                wait = self._wait_after(failure, attempt, waited, patient)
                failed: Exception = failure
            except httpx.TimeoutException as error:
                if not patient or attempt > 1:
                    raise TooSlow(
                        f"{self.base_url} did not answer in time; try again later, or import a shorter window."
                    ) from error
                wait, failed = self._backoff, error
            except httpx.TransportError as error:
                if attempt == _TRIES or not isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
                    raise SourceError(unreachable(self.base_url, error)) from error
                wait, failed = self._backoff * 2 ** (attempt - 1), error
            waited += wait
            self._sleep(wait)
        raise SourceError(f"{self.base_url} kept failing ({failed}); try again later.")

    def _wait_after(self, failure: HttpFailure, attempt: int, waited: float, patient: bool) -> float:
        """Seconds to wait before asking again; raises where asking again is no use."""
        if failure.status == 429:
            backoff: float = self._backoff * 2 ** (attempt - 1)
            wait = _retry_after(failure.headers) or backoff
            if attempt == _TRIES or waited + wait > self._max_wait:
                raise RateLimited(
                    f"{self.base_url} allows no more reads for now; the import can go on in {max(1, round(wait))} s.",
                    retry_after_seconds=wait,
                ) from failure
            return wait
        if failure.status in _TOO_SLOW:
            if not patient or attempt > 1:
                raise TooSlow(
                    f"{self.base_url} could not answer so large a read in time (HTTP {failure.status}); "
                    "import a shorter window."
                ) from failure
            return self._backoff
        if failure.status in _PASSING and attempt < _TRIES:
            return float(self._backoff * 2 ** (attempt - 1))
        raise _lasting(self.base_url, failure) from failure

    def _keep(self, response: httpx.Response) -> None:
        self.last_body, self.last_headers = response.read(), response.headers


def _proxy(base_url: str) -> str | None:
    """The machine's proxy for this server (HTTPS_PROXY, NO_PROXY, …); own transports do not look for it."""
    parts = urlsplit(base_url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _lasting(base_url: str, failure: HttpFailure) -> SourceError:
    """The sentence for an answer that asking again does not change."""
    status, said = failure.status, _message(failure.body)
    kind: type[SourceError] = SourceError
    sentence = f"failed with HTTP {status}{said}; try again later."
    if status == 401:
        kind = AccessRefused
        sentence = "does not know these keys (401); ask an administrator to enter the project's current keys."
    elif status == 403:
        kind = AccessRefused
        sentence = f"refuses these keys (403{said}); ask an administrator for keys that may read traces."
    elif status == 404:
        text = str(failure.body)
        other = "events_only" in text or "only available in a Langfuse v4 write mode" in text
        kind = WrongApi if other else UnknownTrace
        sentence = f"does not offer this (404{said}); check the connection's address."
    elif 300 <= status < 400:
        target = urlsplit(failure.headers.get("location", "")).hostname or "another address"
        sentence = (
            f"redirects to {target}, and keys are not sent on to other addresses; "
            "ask an administrator to set the connection to the server's real address."
        )
    elif 200 <= status < 300:
        sentence = "answered with something other than JSON (a sign-in page?); check the connection's address."
    elif status == 400:
        sentence = f"did not understand the request (400{said}); its version may be too old."
    return kind(f"{base_url} {sentence}")


def _message(body: Any) -> str:
    said = body.get("message") if isinstance(body, dict) else ""
    return f": {' '.join(said.split())[:160].rstrip('.')}" if isinstance(said, str) and said.strip() else ""


def unreachable(base_url: str, error: Exception) -> str:
    """The sentence for a server that could not be spoken to: certificate, name, refusal, or something else."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(causes) < 6:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(item, ssl.SSLError) for item in causes):
        return (
            f"The TLS certificate of {base_url} is not trusted here; check the address, or let SSL_CERT_FILE name "
            "the authorities to trust."
        )
    if any(isinstance(item, socket.gaierror) for item in causes):
        return f"There is no server named {urlsplit(base_url).hostname}; check the connection's address."
    if any(isinstance(item, ConnectionRefusedError) for item in causes):
        return f"Nothing answers at {base_url} (connection refused); check the address and that the server runs."
    return f"{base_url} cannot be reached ({type(error).__name__}); check the address and that the server runs."


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "").strip()
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return max(0.0, float((moment - utc_now()).total_seconds()))
    except (TypeError, ValueError):
        return None
