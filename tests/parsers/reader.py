"""What Python's json reads. The protocol is in README.md."""

import json
import struct
import sys

source, sink = sys.stdin.buffer, sys.stdout.buffer


def canonical(value, out):
    if value is None:
        out.append(b"n")
    elif value is True:
        out.append(b"t")
    elif value is False:
        out.append(b"f")
    elif isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            number = float("inf") if value > 0 else float("-inf")
        out.append(b"d" + struct.pack(">d", number or 0.0).hex().encode())
    elif isinstance(value, str):
        text(value, out)
    elif isinstance(value, list):
        out.append(b"a%d:" % len(value))
        for element in value:
            canonical(element, out)
    else:
        members = sorted((name.encode("utf-8", "surrogatepass"), name) for name in value)
        out.append(b"o%d:" % len(members))
        for _, name in members:
            text(name, out)
            canonical(value[name], out)


def text(value, out):
    value = value.encode("utf-8", "surrogatepass")
    out.append(b"s%d:" % len(value))
    out.append(value)


def wanted(value, out):
    if isinstance(value, str):
        text(value, out)
    else:
        out.append(b"-")


def told(message):
    try:
        value = json.loads(message)
    except (ValueError, RecursionError) as error:
        return b"R" + str(error).encode("utf-8", "replace")
    if not isinstance(value, dict):
        return b"B"
    table = lambda value: value if isinstance(value, dict) else {}
    params = table(value.get("params"))
    reference = table(params.get("ref"))
    out = [b"u"]
    if "id" in value:
        canonical(value["id"], out)
    else:
        out.append(b"-")
    wanted(value.get("method"), out)
    for name in ("name", "uri", "taskId"):
        wanted(params.get(name), out)
    for name in ("type", "name", "uri"):
        wanted(reference.get(name), out)
    wanted(table(params.get("_meta")).get("io.modelcontextprotocol/protocolVersion"), out)
    if params.get("arguments") is None:
        out.append(b"-")
    else:
        canonical(params["arguments"], out)
    canonical(value, out)
    return b"".join(out)


def framed(answer):
    return struct.pack(">I", len(answer)) + answer


while head := source.read(4):
    messages = []
    for _ in range(struct.unpack(">I", head)[0]):
        messages.append(source.read(struct.unpack(">I", source.read(4))[0]))
    for message in messages:
        sink.write(framed(framed(told(message))))
    sink.flush()
