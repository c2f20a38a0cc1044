"""Sends an OTLP/JSON document as protobuf, which is what both servers take. Runs in the servers' own environment."""

import base64
import json
import sys
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
    """Usage: otlp_sender.py URL FILE [HEADER=VALUE …]."""
    url, path, *headers = sys.argv[1:]
    document = with_bytes(json.loads(Path(path).read_text()))
    message = json_format.ParseDict(document, ExportTraceServiceRequest())
    request = urllib.request.Request(url, data=message.SerializeToString(), method="POST")
    request.add_header("Content-Type", "application/x-protobuf")
    for header in headers:
        request.add_header(*header.split("=", 1))
    with urllib.request.urlopen(request, timeout=60) as answer:
        print(answer.status)


if __name__ == "__main__":
    main()
