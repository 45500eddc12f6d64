#!/usr/bin/env python3
"""Replays the golden frames of seed 001's op 0 against a running server.

    replay_frames.py HOST:PORT [frames.json]

It shares no code with the server: header, mask, checksum and bodies are taken
apart here with struct alone. Every request of the file is sent as it stands, on a
connection of its own; the answer must have the bytes that the file gives for it,
apart from the mask, the checksum and a query's timestamp. Every edge frame must be
answered, or closed without a reply, as the file says. Exits with 1 and one line per
difference.
"""

import json
import os
import socket
import struct
import sys
import time

TIMEOUT = 5.0  # seconds for one exchange
QUIET = 0.3  # seconds for which "keeps reading" is watched
HEADER = struct.Struct("<HBBB4sI")


class Different(Exception):
    """The server did something else than the file says."""


def connect(address):
    host, port = address.rsplit(":", 1)
    conn = socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT)
    conn.settimeout(TIMEOUT)
    return conn


def read_exactly(conn, n):
    data = b""
    while len(data) < n:
        chunk = conn.recv(n - len(data))
        if not chunk:
            raise Different("closed after %d of %d bytes" % (len(data), n))
        data += chunk
    return data


def read_frame(conn):
    fixed, checksum, version, op, mask, length = HEADER.unpack(read_exactly(conn, HEADER.size))
    if (fixed, version) != (0x6668, 1):
        raise Different("reply has fixed %#x, version %d" % (fixed, version))
    if length > 512 * 1024:
        raise Different("reply claims %d bytes" % length)
    plain = bytes(b ^ mask[i % 4] for i, b in enumerate(read_exactly(conn, length)))
    total = 0
    for b in plain:
        total ^= b
    if total != checksum:
        raise Different("reply's checksum is %#x, its payload's is %#x" % (checksum, total))
    return op, plain


def read_to_end(conn):
    data = b""
    try:
        while True:
            chunk = conn.recv(65536)
            if not chunk:
                return data
            data += chunk
    except ConnectionError:
        return data  # closed with our bytes unread: a reset
    except socket.timeout:
        raise Different("not closed within %g s (%d bytes came)" % (TIMEOUT, len(data)))


class Body:
    """Takes fields off a payload."""

    def __init__(self, data):
        self.data = data

    def take(self, n):
        if n > len(self.data):
            raise Different("a field of the reply ends beyond its payload")
        head, self.data = self.data[:n], self.data[n:]
        return head

    def i32(self):
        return struct.unpack("<i", self.take(4))[0]

    def i64(self):
        return struct.unpack("<q", self.take(8))[0]

    def binary(self):
        return self.take(struct.unpack("<I", self.take(4))[0])

    def end(self):
        if self.data:
            raise Different("%d bytes after the reply's last field" % len(self.data))


def parse_response(plain):
    body = Body(plain)
    reply = {"cmd": body.binary(), "code": body.i32(), "msg": body.binary(), "payload": body.binary()}
    body.end()
    return reply


def same(what, got, want):
    if got != want:
        raise Different("%s is %r, want %r" % (what, got, want))


def check_reply(conn, golden):
    """Reads the reply and compares it with a golden response frame."""
    op, plain = read_frame(conn)
    want_plain = bytes.fromhex(golden["header"]["payloadPlainHex"])
    same("op", op, golden["header"]["op"])
    got, want = parse_response(plain), parse_response(want_plain)
    for field in ("cmd", "code", "msg"):
        same(field, got[field], want[field])
    if "timestamp" not in golden["fields"]:
        same("payload", got["payload"], want["payload"])
        return
    body = Body(got["payload"])
    timestamp, data = body.i64(), body.binary()
    body.end()
    same("data", data, golden["fields"]["data"].encode())
    if golden["fields"]["timestamp"] == 0:
        same("timestamp", timestamp, 0)
    elif abs(time.time() - timestamp) > 60:
        raise Different("timestamp %d is not the time of the update in unix seconds" % timestamp)


def exchange(address, frame, check):
    conn = connect(address)
    try:
        conn.sendall(frame)
        check(conn)
    finally:
        conn.close()


def check_closed(conn):
    data = read_to_end(conn)
    if data:
        raise Different("%d bytes came instead of a close: %s" % (len(data), data.hex()))


def check_keeps_reading(conn):
    conn.settimeout(QUIET)
    try:
        data = conn.recv(1)
    except socket.timeout:
        return
    raise Different("%s instead of waiting for the payload" % ("a reply" if data else "closed"))


def check_updated(conn):
    op, plain = read_frame(conn)
    same("op", op, 0)
    reply = parse_response(plain)
    same("reply", reply, {"cmd": b"update", "code": 0, "msg": b"", "payload": b""})


def main(argv):
    if len(argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 64
    address = argv[1]
    path = argv[2] if len(argv) == 3 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "frames.json")
    with open(path, encoding="utf-8") as f:
        fixtures = json.load(f)
    golden = {f["name"]: f for f in fixtures["frames"]}
    wire = {name: bytes.fromhex(f["hex"]) for name, f in golden.items()}

    steps = [
        ("agent_update_request", wire["agent_update_request"], lambda c: check_reply(c, golden["agent_update_response_ok"])),
        ("agent_query_request", wire["agent_query_request"], lambda c: check_reply(c, golden["agent_query_response_ok"])),
        ("query of what was never stored", query_frame("no-such-host", "status"), lambda c: check_reply(c, golden["agent_query_response_not_existed"])),
        ("agent_update_binary_high_bytes", wire["agent_update_binary_high_bytes"], check_updated),
        ("agent_update_request byte by byte", None, None),
        ("empty_payload_agent_op", wire["empty_payload_agent_op"], check_closed),
    ]
    edges = {
        "close, no reply": check_closed,
        "accepted, normal reply (reply says version 1)": lambda c: check_reply(c, golden["agent_query_response_ok"]),
        "payload is read and checked, then close, no reply": check_closed,
        "close as soon as the header is read": check_closed,
        "server keeps reading payload": check_keeps_reading,
    }
    for edge in fixtures["edgeFrames"]:
        steps.append((edge["name"], bytes.fromhex(edge["hex"]), edges[edge["expect"]]))

    failures = 0
    for name, frame, check in steps:
        try:
            if frame is None:
                byte_by_byte(address, wire["agent_update_request"], golden["agent_update_response_ok"])
            else:
                exchange(address, frame, check)
        except (Different, OSError) as e:
            failures += 1
            print("%s: %s" % (name, e), file=sys.stderr)
    if failures:
        return 1
    print("%d exchanges are as the file says" % len(steps))
    return 0


def query_frame(id_, section):
    """A query that the file does not have, built from the seed's layout."""
    binary = lambda b: struct.pack("<I", len(b)) + b
    payload = binary(b"query") + struct.pack("<i", 0) + binary(binary(id_.encode()) + binary(section.encode()))
    mask, total = b"\x11\x22\x33\x44", 0
    for b in payload:
        total ^= b
    masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    return HEADER.pack(0x6668, total, 1, 0, mask, len(payload)) + masked


def byte_by_byte(address, frame, golden):
    conn = connect(address)
    try:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(frame)):
            conn.sendall(frame[i : i + 1])
        check_reply(conn, golden)
    finally:
        conn.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
