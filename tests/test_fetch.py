"""The guarded GET, against servers on this machine; names are given addresses by the tests, never by the network."""

import asyncio
import gzip
import ssl
import tracemalloc
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.endpoint.fetch import Fetcher, is_public, look_up
from agentloop.endpoint.fetch.body import Body
from agentloop.errors import FetchError
from clock import stop_clock
from loopback import CUT, Gate, Loopback, Reply

PATIENCE_SECONDS = 60
LOOPBACK = ip_address("127.0.0.1")
# For images.example, until 2126. The key opens nothing but this test's server.
KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgIBKdMH247+AM8FTi
HnUhehSVSy0IaASf52SWDlA1uqqhRANCAAQp1vYSN/Hy8NP5/n0wbWfuIdkM/vjk
ejwrYdj1NZXlvf++xr0YwMST7DvUgstXuv+2/jSVaPzBO4N0ltSvSiyT
-----END PRIVATE KEY-----
"""
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBoDCCAUegAwIBAgIUd0oZ4kGxwW2wJcQcz9yp26n+OzcwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOaW1hZ2VzLmV4YW1wbGUwIBcNMjYxMTIyMjA0NjA1WhgPMjEy
NjEwMjkyMDQ2MDVaMBkxFzAVBgNVBAMMDmltYWdlcy5leGFtcGxlMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEKdb2Ejfx8vDT+f59MG1n7iHZDP745Ho8K2HY9TWV
5b3/vsa9GMDEk+w71ILLV7r/tv40lWj8wTuDdJbUr0osk6NrMGkwHQYDVR0OBBYE
FMFBDBUPDv9CFDX6upLIeLI+QaRoMB8GA1UdIwQYMBaAFMFBDBUPDv9CFDX6upLI
eLI+QaRoMBkGA1UdEQQSMBCCDmltYWdlcy5leGFtcGxlMAwGA1UdEwEB/wQCMAAw
CgYIKoZIzj0EAwIDRwAwRAIgTQsZvWW9ffFtVs0CSy+e68GO2VzscfN4nt00P6C6
vx4CIB5x4W8+P3AOzoj5FlXdAvbd8IPS92xTv0VBK79yVJwc
-----END CERTIFICATE-----
"""


def at(*addresses):
    """Return a resolver that gives these addresses for every host."""

    async def resolve(host, port):
        return [ip_address(address) for address in addresses]

    return resolve


def local(**fields):
    """Return a fetcher that finds every host on this machine, and may go there."""
    return Fetcher(**{"max_bytes": 1_000, "resolve": at("127.0.0.1"), "allow": {LOOPBACK}.__contains__, **fields})


def url_of(server, path="/a.png", host="images.example"):
    return f"http://{host}:{server.base_url.rpartition(':')[2].removesuffix('/v1')}{path}"


async def refusal(fetcher, url):
    with pytest.raises(FetchError) as caught:
        await asyncio.wait_for(fetcher.get(url), PATIENCE_SECONDS)
    return caught.value.message


def moved(location, status=302):
    return Reply(status=status, headers={"location": location})


# --- what it does ---


async def test_what_is_fetched_comes_with_its_type_and_its_place():
    async with Loopback([Reply((b"picture",), content_type="image/png")]) as server:
        fetched = await local(accept="image/*").get(url_of(server, "/a%20b.png?size=1#top"))
    assert (fetched.content, fetched.content_type) == (b"picture", "image/png")
    assert fetched.url == url_of(server, "/a%20b.png?size=1#top")
    (request,) = server.requests
    assert request.path == "/a%20b.png?size=1"
    assert request.headers == {
        "host": url_of(server, "").removeprefix("http://"),
        "accept": "image/*",
        "accept-encoding": "gzip",
        "user-agent": "agentloop",
    }


async def test_an_address_in_brackets_is_named_so_in_the_request():
    async with Loopback([Reply((b"picture",))]) as server:
        await local().get(url_of(server, host="[::1]"))
    assert server.requests[0].headers["host"].startswith("[::1]:")


async def test_the_environments_proxies_are_not_asked(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Loopback([Reply((b"picture",))]) as server:
        assert (await local().get(url_of(server))).content == b"picture"


async def test_the_next_address_is_tried_when_one_does_not_answer():
    async with Loopback([Reply((b"picture",))]) as server:
        resolve, allow = at("127.0.0.9", "127.0.0.1"), (lambda address: address.is_loopback)
        assert (await local(resolve=resolve, allow=allow).get(url_of(server))).content == b"picture"


async def test_over_tls_the_name_is_what_counts_and_not_the_address(monkeypatch, tmp_path):
    pem = tmp_path / "server.pem"
    pem.write_text(KEY + CERTIFICATE, "ascii")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    asked = []

    async def serve(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        where = b"/b.png" if len(asked) == 1 else b"http://images.example/"
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: %b\r\nconnection: close\r\n\r\n" % where)
        await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        said = await refusal(local(), f"https://images.example:{port}/a.png")
        assert said == f"https://images.example:{port}/b.png redirects from https to http"
        assert [f"Host: images.example:{port}".encode() in request for request in asked] == [True, True]
        assert "certificate" in await refusal(local(), f"https://other.example:{port}/")


# --- whereto ---


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),  # noqa: S104 - nothing is bound
        *("100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "168.63.129.16"),
        *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *(
            "::1",
            "::",
            "::127.0.0.1",
            "fe80::1",
            "fe80::1%1",
            "fc00::1",
            "fd00:ec2::254",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
        *("64:ff9b::7f00:1", "64:ff9b::169.254.169.254", "64:ff9b:1::1"),
        *("2001::1", "2001:db8::1", "3fff::1", "5f00::1", "100::1"),
    ],
)
async def test_an_address_that_is_not_public_is_refused(address):
    assert not is_public(ip_address(address))
    said = await refusal(Fetcher(max_bytes=1, resolve=at(address)), "http://images.example/")
    assert said == f"images.example is at {ip_address(address)}, which is not on the public network"


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "2002:101:101::1", "64:ff9b::1.1.1.1"],
)
def test_an_address_that_is_public_is_taken(address):
    assert is_public(ip_address(address))


async def test_one_address_that_is_not_public_spoils_the_host():
    async with Loopback([]) as server:
        said = await refusal(Fetcher(max_bytes=1, resolve=at("93.184.216.34", "127.0.0.1")), url_of(server))
    assert "127.0.0.1" in said
    assert server.connections == 0


NO_WAY = ("not on the public network", "can't be found", "is not a URL")
SPELLINGS = ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "[::1]", "[::ffff:7f00:1]"]


@pytest.mark.parametrize("host", [*SPELLINGS, "[::]", "localhost", "localhost.", "LOCALHOST", "[fe80::1%251]"])
async def test_no_spelling_of_this_machine_is_let_through(host):
    async with Loopback([]) as server:
        said = await refusal(Fetcher(max_bytes=1_000), url_of(server, host=host))
    assert any(why in said for why in NO_WAY)
    assert server.connections == 0


@pytest.mark.parametrize("host", SPELLINGS)
async def test_a_redirect_to_this_machine_is_refused(host):
    async def resolve(name, port):
        return [LOOPBACK] if name == "images.example" else await look_up(name, port)

    async with Loopback(lambda request: moved(url_of(server, "/keys", host))) as server:
        asked = []
        allow = lambda address: not asked.append(address) and len(asked) == 1  # noqa: E731 - the first only
        said = await refusal(local(resolve=resolve, allow=allow), url_of(server))
    assert any(why in said for why in NO_WAY)
    assert [request.path for request in server.requests] == ["/a.png"]


async def test_a_name_that_means_this_machine_a_moment_later_gains_nothing():
    public = ip_address("127.0.0.9")  # nobody listens there
    answers = iter([public, LOOPBACK, LOOPBACK])
    looked_up = []

    async def resolve(host, port):
        looked_up.append(host)
        return [next(answers)]

    async with Loopback([]) as server:
        fetcher = local(resolve=resolve, allow={public}.__contains__)
        assert "can't be reached" in await refusal(fetcher, url_of(server))
        assert looked_up == ["images.example"]  # once: what was vetted is what was connected to
        for _ in range(2):
            assert "127.0.0.1, which is not on the public network" in await refusal(fetcher, url_of(server))
    assert server.connections == 0


async def test_each_redirect_is_looked_up_anew():
    answers = iter([LOOPBACK, ip_address("10.0.0.1")])

    async def resolve(host, port):
        return [next(answers)]

    async with Loopback(lambda request: Reply(status=302, headers={"location": "/b", "connection": "close"})) as server:
        said = await refusal(local(resolve=resolve), url_of(server))
    assert said == "images.example is at 10.0.0.1, which is not on the public network"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://images.example/a.png", "is not an http or https URL"),
        ("file:///etc/passwd", "is not an http or https URL"),
        ("images.example/a.png", "is not an http or https URL"),
        ("http:///a.png", "is not an http or https URL"),
        ("http://images.example:99999/", "is not an http or https URL"),
        ("http://images.example:port/", "is not a URL"),
        ("http://images.example/\n", "is not a URL"),
        ("http://images.example/\ud800", "is not a URL"),
        ("http://images.example:port/?key=secret", "is not a URL"),
        ("http://me:secret@images.example:port/", "is not a URL"),
        ("http://me:secret@images.example/", "holds a user's name or password"),
        ("http://me@images.example/", "holds a user's name or password"),
        ("http://" + "a" * 70 + ".example/", "can't be found"),
    ],
)
async def test_what_is_no_address_is_refused_and_secrets_are_not_repeated(url, why):
    said = await refusal(Fetcher(max_bytes=1), url)
    assert why in said
    assert "secret" not in said


async def test_a_host_without_an_address_cannot_be_reached():
    said = await refusal(local(resolve=at()), "http://images.example/a.png?key=secret")
    assert said == "http://images.example/a.png can't be reached: images.example has no address"


async def test_a_server_that_is_not_there_cannot_be_reached():
    async with Loopback([]) as server:
        url = url_of(server)
    assert f"{url} can't be reached: " in await refusal(local(), url)


async def test_a_connection_that_breaks_is_told():
    async with Loopback([Reply((b"pic", CUT))]) as server:
        assert "can't be reached: " in await refusal(local(), url_of(server))


# --- redirects ---


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(status):
    async with Loopback([moved("../b.png?key=1", status), Reply((b"picture",))]) as server:
        fetched = await local().get(url_of(server, "/deep/a.png"))
    assert fetched.url == url_of(server, "/b.png?key=1")
    assert [request.path for request in server.requests] == ["/deep/a.png", "/b.png?key=1"]


async def test_no_cookie_is_taken_along():
    cookie = Reply(status=302, headers={"location": "/b", "set-cookie": "a=1"})
    async with Loopback([cookie, Reply((b"picture",))]) as server:
        await local().get(url_of(server))
    assert "cookie" not in server.requests[1].headers


async def test_redirects_end():
    async with Loopback(lambda request: moved(request.path + "x")) as server:
        said = await refusal(local(redirects=2), url_of(server, "/"))
    assert said == f"{url_of(server, '/xxx')} is one redirect too many: 2 were followed"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("ftp://images.example/", "is not an http or https URL"),
        ("http://me:secret@images.example/", "holds a user's name or password"),
        ("http://images.example:port/", "which is not a URL"),
    ],
)
async def test_a_redirect_to_what_is_no_address_is_refused(location, why):
    async with Loopback([moved(location)]) as server:
        assert why in await refusal(local(), url_of(server))


@pytest.mark.parametrize("reply", [Reply(status=302), Reply(status=404), Reply(status=500), Reply(status=204)])
async def test_any_other_status_is_told(reply):
    async with Loopback([reply]) as server:
        said = await refusal(local(), url_of(server, "/a.png?key=secret"))
    assert said == f"{url_of(server)} answered with status {reply.status}"


# --- how much, how long ---


@pytest.mark.parametrize("parts", [(b"x" * 1_000,), (b"x" * 500, b"x" * 500)])
async def test_what_is_just_small_enough_is_taken(parts):
    async with Loopback([Reply(parts)]) as server:
        assert len((await local().get(url_of(server))).content) == 1_000


async def test_what_says_that_it_is_too_large_is_not_read():
    async with Loopback([Reply(headers={"content-length": "1001"})]) as server:  # and then not a byte comes
        assert (await refusal(local(), url_of(server))).endswith("/a.png is larger than 1,000 bytes")


async def test_what_turns_out_too_large_is_left():
    gate = Gate()
    async with Loopback([Reply((b"x" * 600, b"x" * 600, gate))]) as server:
        assert (await refusal(local(), url_of(server))).endswith("/a.png is larger than 1,000 bytes")
        await gate.was_left()


def packed(data, *rest, coding="gzip"):
    return Reply((gzip.compress(data), *rest), headers={"content-encoding": coding})


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP"])
async def test_a_body_comes_unpacked(coding):
    data = b"x" * 1_000
    async with Loopback([packed(data, coding=coding)]) as server:
        assert (await local().get(url_of(server))).content == data


@given(st.binary(max_size=3_000), st.integers(1, 50), st.integers(0, 3_000))
def test_what_is_unpacked_is_what_was_packed_or_too_large(data, size, max_bytes):
    body, sent = Body("gzip", max_bytes, "it"), gzip.compress(data)
    try:
        for start in range(0, len(sent), size):
            body.take(sent[start : start + size])
        assert body.whole() == data
        assert len(data) <= max_bytes
    except FetchError:
        assert len(data) > max_bytes or len(sent) > max_bytes


async def test_a_bomb_is_left_when_more_has_come_out_of_it_than_may_be():
    gate = Gate()
    bomb = gzip.compress(b"0" * 50_000_000)
    async with Loopback([Reply((bomb, gate), headers={"content-encoding": "gzip"})]) as server:
        tracemalloc.start()
        try:
            said = await refusal(local(max_bytes=100_000), url_of(server))
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert said.endswith("/a.png is larger than 100,000 bytes")
        assert most < 2_000_000
        await gate.was_left()


async def test_what_comes_after_the_end_of_a_packed_body_counts_and_is_dropped():
    async with Loopback([packed(b"all", b"junk"), packed(b"all", b"x" * 1_000)]) as server:
        assert (await local().get(url_of(server))).content == b"all"
        assert "larger than" in await refusal(local(), url_of(server))


PACKED = gzip.compress(b"x" * 100, mtime=0)  # the time would give the test another name in each process


@pytest.mark.parametrize("sent", [b"no gzip", PACKED[:-1], PACKED[:-20]])
async def test_a_damaged_packed_body_is_told(sent):
    async with Loopback([Reply((sent,), headers={"content-encoding": "gzip"})]) as server:
        assert (await refusal(local(), url_of(server))).endswith("sent a body that can't be decompressed")


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "identity, gzip", "gzip, gzip"])
async def test_what_is_packed_in_a_way_not_asked_for_is_refused_unread(coding):
    gate = Gate()
    async with Loopback([Reply((b"x", gate), headers={"content-encoding": coding})]) as server:
        assert f"compressed as {coding!r}" in await refusal(local(), url_of(server))
        await gate.was_left()


@pytest.mark.parametrize("name", ["content-type", "content-encoding"])
async def test_a_server_does_not_say_much_in_an_error(name):
    async with Loopback([Reply(headers={name: "words " * 1_000}, content_type="text/html")]) as server:
        said = await refusal(local(content_types=("text/*",)), url_of(server))
    assert "words words" in said
    assert len(said) < 500


# --- what kinds, and whose ---


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("text/html", True),
        ("TEXT/HTML; charset=latin-1", True),
        ("", True),
        ("application/octet-stream", False),
        ("application/pdf; x=text/html", False),
    ],
)
async def test_only_kinds_that_are_wanted_are_read(kind, taken):
    gate = Gate()
    async with Loopback([Reply((b"page", *(() if taken else (gate,))), content_type=kind)]) as server:
        fetcher = local(content_types=("text/*",))
        if taken:
            assert (await fetcher.get(url_of(server))).content == b"page"
        else:
            kind = kind.partition(";")[0]
            assert (await refusal(fetcher, url_of(server))).endswith(f"/a.png is {kind}, which is not accepted")
            await gate.was_left()


async def test_each_url_is_vetted_before_it_is_asked_for():
    seen = []

    def vet(url):
        seen.append(str(url))
        if "secret" in url.path:
            raise FetchError(f"{url.path} is not for you")

    async with Loopback([moved("/b"), moved("/secret")]) as server:
        assert await refusal(local(vet=vet), url_of(server)) == "/secret is not for you"
        assert seen == [url_of(server, path) for path in ("/a.png", "/b", "/secret")]
        assert [request.path for request in server.requests] == ["/a.png", "/b"]


async def test_a_host_of_the_users_own_network_is_reached_and_none_beside_it():
    async with Loopback([]) as other, Loopback([Reply((b"wiki",)), moved(url_of(other))]) as server:
        port = int(url_of(server, "").rpartition(":")[2])
        fetcher = Fetcher(max_bytes=99, resolve=at("127.0.0.1"), private=frozenset({("images.example", port)}))
        assert (await fetcher.get(url_of(server))).content == b"wiki"
        assert "not on the public network" in await refusal(fetcher, url_of(server))  # it redirects to another port
        assert "not on the public network" in await refusal(fetcher, url_of(server, host="other.example"))
    assert other.connections == 0


# --- other methods ---


async def test_a_request_is_sent_as_it_is_and_any_status_is_an_answer():
    async with Loopback([Reply((b"made",), status=201, headers={"x-id": "7"}), Reply((b"no",), status=404)]) as server:
        sent = {"Accept": "text/x", "X-Key": "k", "Host": "evil.example"}
        made = await local().send("POST", url_of(server), headers=sent, content=b"{}")
        assert (made.status, made.content, made.headers["x-id"]) == (201, b"made", "7")
        assert (await local().send("DELETE", url_of(server))).status == 404
    post, delete = server.requests
    assert (post.method, post.body) == ("POST", b"{}")
    assert post.headers == {
        "host": url_of(server, "").removeprefix("http://"),
        "accept": "text/x",
        "accept-encoding": "gzip",
        "user-agent": "agentloop",
        "x-key": "k",
        "content-length": "2",
    }
    assert (delete.method, delete.headers["content-length"]) == ("DELETE", "0")


async def test_a_head_has_no_body_whatever_is_announced():
    headers = {"content-length": "99999999", "content-encoding": "gzip"}
    async with Loopback([Reply(status=200, headers=headers)]) as server:
        fetched = await local().send("HEAD", url_of(server))
    assert (fetched.content, fetched.headers["content-length"]) == (b"", "99999999")


async def test_what_changes_something_is_not_sent_elsewhere_by_a_redirect():
    async with Loopback([moved("/b", 307)]) as server:
        answer = await local().send("POST", url_of(server), content=b"{}")
    assert (answer.status, answer.headers["location"]) == (307, "/b")
    assert len(server.requests) == 1


async def test_headers_go_to_no_other_origin():
    async with Loopback(lambda request: Reply((b"x",))) as other:
        script = [moved("/b"), moved(url_of(other)), moved(url_of(other, host="other.example"))]
        async with Loopback([*script, Reply((b"x",))]) as server:
            key = {"Authorization": "Bearer secret"}
            await local().send("GET", url_of(server), headers=key)
            await local().send("GET", url_of(server), headers=key)
    assert ["authorization" in request.headers for request in server.requests] == [True, True, True]
    assert ["authorization" in request.headers for request in other.requests] == [False, False]
    assert "secret" not in repr(Fetcher(max_bytes=1))


@pytest.mark.parametrize("begun", [False, True])
async def test_it_ends_in_time_wherever_the_server_stalls(begun):
    clock, gate = stop_clock(), Gate()
    async with Loopback([Reply((b"a", gate, b"b")) if begun else Reply(before=(gate,))]) as server:
        fetching = asyncio.create_task(refusal(local(seconds=30), url_of(server)))
        await gate.was_reached()
        clock.advance(30)
        assert await fetching == f"{url_of(server)} took longer than 30 s"
        await gate.was_left()


async def test_a_server_that_always_sends_a_little_more_does_not_hold_it():
    clock, ended = stop_clock(), asyncio.Event()

    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        with suppress(OSError):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                clock.advance(1)
                await asyncio.sleep(1)
        writer.close()
        ended.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        said = await refusal(local(seconds=30), f"http://images.example:{port}/")
        await asyncio.wait_for(ended.wait(), 1_000)
    assert said.endswith("took longer than 30 s")


async def test_it_ends_in_time_when_names_are_looked_up_for_ever():
    clock = stop_clock()

    async def resolve(host, port):
        clock.advance(30)
        await asyncio.Event().wait()

    said = await refusal(Fetcher(max_bytes=1, seconds=30, resolve=resolve), "http://a.example/")
    assert said == "http://a.example/ took longer than 30 s"
