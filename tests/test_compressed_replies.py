"""Compressed bodies are read, bodies that only claim to be compressed are read too, and neither costs much memory."""

import gzip
import hashlib
import json
import zlib

import pytest

from agentloop import AuthenticationError, RefusedError, ReplyError, ServerError
from agentloop.endpoint.transport import connection
from agentloop.endpoint.transport.unpacking import Unpacker
from loopback import CUT, Gate, Reply, completion_of, text_body
from test_reply_ends import chat_stream, response_stream
from ways import CHAT, NATIVE

LIMIT = 1_000_000
ANSWER = text_body("as it was")
WORDS = json.dumps({"error": {"message": "no such thing as m-1"}}).encode()
ways = pytest.mark.parametrize("way", [*NATIVE, *CHAT], ids=lambda way: f"{way.name}-{way.dialect}")
clients = pytest.mark.parametrize("http", ["httpx", "aiohttp"])


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "DEFLATE": deflate}


def sent_to(way) -> bytes:
    if way.streams:
        return response_stream(ANSWER) if way.dialect == "native" else chat_stream(ANSWER)
    return json.dumps(ANSWER if way.dialect == "native" else completion_of(ANSWER)).encode()


def labelled(data: bytes, coding: str, status: int = 200, *, after: tuple = ()) -> Reply:
    return Reply((data, *after), status, headers={"content-encoding": coding})


# --- a reply ---


@ways
@clients
@pytest.mark.parametrize("coding", PACKERS)
def test_a_compressed_reply_is_read(way, http, coding):
    with way.serving([labelled(PACKERS[coding](sent_to(way)), coding)], endpoint={"http": http}) as (agent, server):
        assert way.ask(agent).text == "as it was"
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


@ways
@clients
@pytest.mark.parametrize(
    "coding", ["gzip", "deflate", "br", "zstd", "compress", "gzip, br", "identity", "none", "utf-8"]
)
def test_a_reply_that_only_claims_to_be_compressed_is_read(way, http, coding):
    with way.serving([labelled(sent_to(way), coding)], endpoint={"http": http}) as (agent, server):
        assert way.ask(agent).text == "as it was"
        assert len(server.requests) == 1


@pytest.mark.parametrize("way", [NATIVE[1], CHAT[1]], ids=["native", "chat"])
def test_each_event_may_be_compressed_by_itself(way):
    events = sent_to(way).split(b"\n\n")
    packed = [gzip.compress(event + b"\n\n") for event in events if event]
    with way.serving([Reply(packed, headers={"content-encoding": "gzip"})]) as (agent, _):
        assert way.ask(agent).text == "as it was"


def test_compression_that_was_not_asked_for_is_an_error_at_once():
    zstd = bytes.fromhex("28b52ffd2006310000") + b"abc"
    with (
        NATIVE[0].serving([labelled(zstd, "zstd")]) as (agent, _),
        pytest.raises(ReplyError, match="compressed its reply with zstd, which was not asked for"),
    ):
        NATIVE[0].ask(agent)


# --- an error ---


@ways
@clients
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_status_and_words_of_a_refusal_survive_a_wrong_label(way, http, coding):
    with (
        way.serving([labelled(WORDS, coding, 401)], endpoint={"http": http}) as (agent, _),
        pytest.raises(AuthenticationError, match="no such thing as m-1"),
    ):
        way.ask(agent)


@clients
@pytest.mark.parametrize(
    "reply",
    [
        labelled(gzip.compress(WORDS)[:-12], "gzip", 503),
        labelled(zlib.compress(WORDS)[:20] + b"\xff" * 20, "deflate", 503),
        labelled(bytes.fromhex("28b52ffd2006310000"), "zstd", 503),
        labelled(WORDS[:20], "", 503, after=(CUT,)),
        labelled(b"", "gzip", 503),
        labelled(gzip.compress(bytes(3_000_000)), "gzip", 503),
    ],
    ids=["cut short", "damaged", "not asked for", "the connection breaks", "empty", "huge"],
)
def test_the_status_survives_whatever_is_wrong_with_the_body(http, reply):
    with (
        NATIVE[0].serving([reply], endpoint={"http": http, "retries": 0}) as (agent, _),
        pytest.raises(ServerError) as raised,
    ):
        NATIVE[0].ask(agent)
    assert raised.value.status == 503


def test_an_error_whose_body_does_not_end_is_raised_with_what_came(monkeypatch):
    monkeypatch.setattr(connection, "ERROR_SECONDS", 0.05)
    gate = Gate()
    with (
        NATIVE[0].serving([labelled(WORDS, "", 400, after=(gate,))]) as (agent, _),
        pytest.raises(RefusedError, match="no such thing as m-1"),
    ):
        NATIVE[0].ask(agent)
    gate.left.result(60)


# --- what it costs ---


@pytest.mark.parametrize("way", [*NATIVE, *CHAT], ids=lambda way: f"{way.name}-{way.dialect}")
@pytest.mark.parametrize("packed", [True, False])
def test_a_reply_beyond_any_size_is_an_error_at_once(way, packed, monkeypatch):
    monkeypatch.setattr(connection, "MOST_BYTES", LIMIT)
    body = b"{" + b" " * (LIMIT + 1)
    reply = labelled(gzip.compress(body), "gzip") if packed else labelled(body, "")
    with way.serving([reply]) as (agent, server), pytest.raises(ReplyError, match="longer than any reply"):
        way.ask(agent)
    assert len(server.requests) == 1


def read(unpacker: Unpacker, *pieces: bytes) -> list[bytes]:
    read = [piece for data in pieces for piece in unpacker.feed(data)]
    return [*read, *unpacker.close()]


def test_pieces_are_small_whatever_they_unpack_to():
    pieces = read(Unpacker("gzip", 100_000_000), gzip.compress(bytes(50_000_000)))
    assert sum(map(len, pieces)) == 50_000_000
    assert max(map(len, pieces)) <= 256 * 1024


@pytest.mark.parametrize("inner", [gzip.compress(bytes(30_000_000)), gzip.compress(b"") * 100_000], ids=["out", "in"])
def test_each_decompression_has_the_limit(inner):
    with pytest.raises(ReplyError):
        read(Unpacker("gzip, gzip", 1_000_000), gzip.compress(inner))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 300, 70_000, 256 * 1024, 256 * 1024 + 1, 600_000])
@pytest.mark.parametrize("coding", [*PACKERS, "gzip, deflate", ""])
@pytest.mark.parametrize("step", [1, 7, 1000, 1_000_000])
@pytest.mark.unmeasured
def test_what_was_packed_comes_out_however_it_is_cut(size, coding, step):
    data = hashlib.shake_256(b"any").digest(min(size, 2000)) * (size // 2000 + 1)
    data = b"{" + data[:size]
    packed = data
    for name in filter(None, coding.split(", ")):
        packed = PACKERS[name](packed)
    if len(packed) > 5000 and step == 1:
        packed, data = packed[:0], b""
    pieces = [packed[at : at + step] for at in range(0, len(packed), step)]
    assert b"".join(read(Unpacker(coding, 10_000_000), *pieces)) == data


@pytest.mark.parametrize("text", ['{"a": 1}', "data: 1\n\n", ": ping\n\n", "<html>\n", "网关错误", "\ufeff{}", "x"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("step", [1, 5, 100])
def test_text_stays_as_it_is(text, coding, step):
    data = text.encode()
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    assert b"".join(read(Unpacker(coding, LIMIT), *pieces)) == data


def test_what_is_neither_text_nor_packed_stays_as_it_is():
    assert read(Unpacker("gzip", LIMIT), b"\x00\x01\x02\x03 and so on") == [b"\x00\x01\x02\x03 and so on"]


def test_damage_after_a_good_beginning_is_an_error():
    with pytest.raises(zlib.error):
        read(Unpacker("gzip", LIMIT), gzip.compress(b"{}") + b"\x00\x00\x00 padding")


def test_a_reply_that_is_shorter_than_any_compressed_one_is_read():
    with (
        CHAT[0].serving([labelled(b"OK", "br")], endpoint={"retries": 0}) as (agent, _),
        pytest.raises(ReplyError) as no,
    ):
        CHAT[0].ask(agent)
    assert no.value.message.endswith("is not JSON: OK")
    with (
        CHAT[0].serving([labelled(b"gone", "gzip", 410)]) as (agent, _),
        pytest.raises(RefusedError, match="410: gone"),
    ):
        CHAT[0].ask(agent)
