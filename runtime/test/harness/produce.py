"""Puts records on a Kafka, in the protocol itself and with Python's standard library alone: a producer that shares
nothing with ours but the wire. Arguments: host:port of the leader, a topic, and how many partitions that has; standard
input: a line of JSON for each record, {"key": text or null, "value": text or null, "headers": [[name, text or null]]}.
"""
import json
import socket
import struct
import sys
import time
import zlib


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = number << 1 ^ number >> 63
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def text(value):
    return varint(-1) if value is None else varint(len(value.encode())) + value.encode()


def string(value):
    return struct.pack(">h", len(value.encode())) + value.encode()


def record(offset, entry):
    headers = b"".join(text(name) + text(value) for name, value in entry["headers"])
    body = b"\0" + varint(0) + varint(offset) + text(entry["key"]) + text(entry["value"])
    body += varint(len(entry["headers"])) + headers
    return varint(len(body)) + body


def batch(entries):
    """A record batch of version 2 (KIP-98): what the checksum covers begins with its attributes."""
    now = int(time.time() * 1000)
    covered = struct.pack(">hiqqqhii", 0, len(entries) - 1, now, now, -1, -1, -1, len(entries))
    covered += b"".join(record(offset, entry) for offset, entry in enumerate(entries))
    rest = struct.pack(">ibI", -1, 2, crc32c(covered)) + covered
    return struct.pack(">qi", 0, len(rest)) + rest


def produce(connection, topic, partition, entries):
    records = batch(entries)
    request = struct.pack(">hhi", 0, 3, partition) + string("produce.py")  # Produce, version 3
    request += struct.pack(">hhii", -1, -1, 10_000, 1) + string(topic)  # no transaction, acks of all
    request += struct.pack(">iii", 1, partition, len(records)) + records
    connection.sendall(struct.pack(">i", len(request)) + request)
    size = struct.unpack(">i", exactly(connection, 4))[0]
    answer = exactly(connection, size)
    error = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic.encode()) + 4 + 4)[0]
    if error != 0:
        sys.exit(f"the broker refused it with error {error}")


def exactly(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            sys.exit("the broker closed the connection")
        data += more
    return data


server, topic, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3])
host, port = server.split(":")
by_partition = {}
for line in sys.stdin:
    entry = json.loads(line)
    # As librdkafka chooses: CRC-32 of the key, and none has no place of its own.
    partition = zlib.crc32((entry["key"] or "").encode()) % partitions
    by_partition.setdefault(partition, []).append(entry)
with socket.create_connection((host, int(port)), timeout=30) as connection:
    for partition, entries in by_partition.items():
        produce(connection, topic, partition, entries)
print(sum(map(len, by_partition.values())))
