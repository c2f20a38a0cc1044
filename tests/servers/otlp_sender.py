"""Sends an OTLP/JSON document as protobuf, which is what both servers take. Runs in the servers' own environment."""

import base64
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_IDS = ("traceId", "spanId", "parentSpanId")


def with_bytes(value: Any) -> Any:
    """The document with its hex ids as base64: protobuf's JSON reader knows no hex."""
    if isinstance(value, list):
        return [with_bytes(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode() if key in _IDS else with_bytes(item)
        for key, item in value.items()
    }


def main() -> None:
    """Usage: otlp_sender.py URL FILE|FOLDER [HEADER=VALUE …]. Prints the time of the first request."""
    url, path, *headers = sys.argv[1:]
    files = sorted(Path(path).iterdir()) if Path(path).is_dir() else [Path(path)]
    bodies = []
    for file in files:
        document = with_bytes(json.loads(file.read_text()))
        bodies.append(json_format.ParseDict(document, ExportTraceServiceRequest()).SerializeToString())
    begin = time.time()
    for body in bodies:
        send(url, body, headers)
    print(begin)


def send(url: str, body: bytes, headers: list[str]) -> None:
    """One request; a server that has too much to do is asked again, as exporters do."""
    while True:
        request = urllib.request.Request(url, data=body, method="POST")
        request.add_header("Content-Type", "application/x-protobuf")
        for header in headers:
            request.add_header(*header.split("=", 1))
        try:
            with urllib.request.urlopen(request, timeout=300):
                return
        except urllib.error.HTTPError as error:
            if error.code not in {429, 503}:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()
