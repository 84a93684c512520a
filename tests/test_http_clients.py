"""The HTTP clients use the environment alike, read bad replies alike, and leave nothing behind."""

import asyncio
import base64
import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import aclosing, asynccontextmanager, suppress

import pytest
import trustme

from agentloop.endpoint.transport import HttpTransport, connection
from agentloop.errors import ConfigurationError, EndpointError, UnreachableError
from agentloop.wire.profile import Endpoint
from loopback import Gate, Loopback, Reply, text_body

BODY = b'{"model":"m","stream":false}'
MODEL_HOST = "model.invalid"  # no name server knows it, so that only a proxy can lead there


@pytest.fixture(params=["httpx", "aiohttp"])
def http(request):
    return request.param


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith("SSL_CERT_"):
            monkeypatch.delenv(name)


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def server_tls(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", MODEL_HOST).configure_cert(context)
    return context


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch):
    """SSL_CERT_FILE names the authority that has signed the server's certificate."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


async def send(transport):
    return await transport.send("/responses", BODY)


async def read(transport):
    async with aclosing(transport.stream("/responses", BODY)) as chunks:
        return b"".join([chunk async for chunk in chunks])


both_ways = pytest.mark.parametrize("ask", [send, read])


@asynccontextmanager
async def transport_to(base_url, http, **settings):
    transport = HttpTransport(Endpoint(base_url, http=http, **settings))
    try:
        yield transport
    finally:
        await asyncio.wait_for(transport.aclose(), 60)


async def ask_once(ask, base_url, http, **settings):
    async with transport_to(base_url, http, **settings) as transport:
        return await ask(transport)


@asynccontextmanager
async def listening(serve):
    """Serve each connection so, and give the port."""
    tasks = set()

    async def serve_one(reader, writer):
        tasks.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await server.wait_closed()


async def pipe(reader, writer, port):
    """Pass bytes on to a port and back until one side closes."""
    there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)

    async def pump(source, target):
        with suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))


def basic(credentials):
    return f"Basic {base64.b64encode(credentials).decode()}"


# --- which client it is ---


async def client_of(http):
    async with transport_to("http://127.0.0.1:1/v1", http) as transport:
        return type((await transport._pool.connect())._client._client).__name__


async def test_aiohttp_is_taken_where_it_is_installed():
    assert await client_of("auto") == await client_of("aiohttp") == "AiohttpClient"
    assert await client_of("httpx") == "AsyncClient"


async def test_httpx_is_taken_where_aiohttp_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "agentloop.ext.aiohttp", None)
    assert await client_of("auto") == "AsyncClient"


async def test_aiohttp_that_is_asked_for_by_name_must_be_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "agentloop.ext.aiohttp", None)
    with pytest.raises(ConfigurationError, match="needs the extra `aiohttp`"):
        await client_of("aiohttp")


def test_a_client_that_nobody_knows_is_refused():
    with pytest.raises(ConfigurationError, match="http='curl' is not an HTTP client that is known"):
        Endpoint("http://127.0.0.1:1/v1", http="curl")


# --- what is sent ---


@both_ways
async def test_credentials_in_the_base_url_are_sent_in_place_of_the_key(http, ask):
    async with Loopback([text_body("hi")]) as server:
        await ask_once(ask, server.base_url.replace("//", "//me:s%40cret@"), http, api_key="sk-1")
    (request,) = server.requests
    assert request.headers["authorization"] == basic(b"me:s@cret")
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.path == "/v1/responses"


@both_ways
async def test_an_endpoint_may_be_asked_under_another_name(http, ask):
    async with Loopback([text_body("hi")]) as server:
        await ask_once(ask, server.base_url, http, headers={"host": MODEL_HOST})
    assert server.requests[0].headers["host"] == MODEL_HOST


@both_ways
async def test_a_path_is_sent_as_it_is_written(http, ask):
    async with Loopback([text_body("hi")]) as server:
        await ask_once(ask, server.base_url + "/a%2Fb%41c", http)
    assert server.requests[0].path == "/v1/a%2Fb%41c/responses"


@both_ways
async def test_a_body_of_many_megabytes_arrives_whole(http, ask):
    body = b'{"model":"m","stream":false,"input":"%b"}' % (b"x" * 3_000_000)
    async with Loopback([text_body("hi")]) as server, transport_to(server.base_url, http) as transport:
        await transport.send("/responses", body)
    assert server.requests[0].body == body


async def test_a_cookie_is_not_sent_back(http, monkeypatch):
    reply = Reply((b"{}",), headers={"set-cookie": "session=1"})
    async with Loopback([reply, reply]) as proxy, transport_to(f"http://{MODEL_HOST}/v1", http) as transport:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        await send(transport)
        await send(transport)
    assert "cookie" not in proxy.requests[1].headers


# --- proxies ---


@both_ways
async def test_a_request_goes_through_the_proxy_of_the_environment(http, ask, monkeypatch):
    async with Loopback([text_body("hi")]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:s%40cret@127.0.0.1:{proxy.port}")
        await ask_once(ask, f"http://{MODEL_HOST}/v1", http, api_key="sk-1")
    (request,) = proxy.requests
    assert request.path == f"http://{MODEL_HOST}/v1/responses"
    assert request.headers["host"] == MODEL_HOST
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["proxy-authorization"] == basic(b"me:s@cret")


@both_ways
async def test_hosts_that_need_no_proxy_are_asked_directly(http, ask, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with Loopback([text_body("hi")]) as server:
        assert await ask_once(ask, server.base_url, http)


@both_ways
async def test_https_goes_through_a_tunnel(http, ask, monkeypatch, server_tls, trusted):
    heads = []

    async def tunnel(reader, writer):
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await pipe(reader, writer, server.port)

    async with Loopback([text_body("hi")], tls=server_tls) as server, listening(tunnel) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
        assert await ask_once(ask, f"https://{MODEL_HOST}/v1", http, api_key="sk-1")
    (head,) = heads
    assert head.startswith(f"CONNECT {MODEL_HOST}:443 HTTP/1.1\r\n")
    assert f"proxy-authorization: {basic(b'me:secret')}".lower() in head.lower()
    assert "sk-1" not in head
    assert server.requests[0].headers["authorization"] == "Bearer sk-1"


@both_ways
async def test_a_proxy_that_refuses_the_tunnel_makes_the_endpoint_unreachable(http, ask, monkeypatch):
    async with Loopback([Reply(status=407)]) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
        with pytest.raises(UnreachableError, match="Proxy Authentication Required") as raised:
            await ask_once(ask, f"https://{MODEL_HOST}/v1", http)
    assert "secret" not in str(raised.value)


@both_ways
async def test_a_socks_proxy_is_used(http, ask, monkeypatch):
    asked = []

    async def socks(reader, writer):
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")  # no credentials are needed
        *_, length = await reader.readexactly(5)
        asked.append(await reader.readexactly(length + 2))
        writer.write(b"\x05\x00\x00\x01" + bytes(6))  # connected
        await pipe(reader, writer, server.port)

    async with Loopback([text_body("hi")]) as server, listening(socks) as port:
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{port}")
        assert await ask_once(ask, f"http://{MODEL_HOST}/v1", http)
    assert asked == [MODEL_HOST.encode() + (80).to_bytes(2)]


# --- certificates ---


@both_ways
async def test_a_certificate_is_trusted_that_the_environment_names(http, ask, server_tls, trusted):
    async with Loopback([text_body("hi")], tls=server_tls) as server:
        assert await ask_once(ask, server.base_url, http)


@both_ways
async def test_any_other_certificate_makes_the_endpoint_unreachable(http, ask, server_tls):
    async with Loopback([text_body("hi")], tls=server_tls) as server:
        with pytest.raises(UnreachableError, match="certificate verify failed"):
            await ask_once(ask, server.base_url, http)
    assert server.requests == []


@both_ways
async def test_certificates_that_are_not_there_are_the_users_mistake(http, ask, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
    with pytest.raises(ConfigurationError, match="no connection can be made") as raised:
        await ask_once(ask, "https://127.0.0.1:1/v1", http)
    assert "SSL_CERT_" in raised.value.hint


@both_ways
async def test_a_handshake_that_takes_too_long_makes_the_endpoint_unreachable(http, ask, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.05)

    async def say_nothing(reader, _):
        await reader.read()

    async with listening(say_nothing) as port:
        with pytest.raises(UnreachableError, match="imeout"):
            await ask_once(ask, f"https://127.0.0.1:{port}/v1", http)


# --- replies that are not as they should be ---


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"


@both_ways
@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: %b\r\n\r\n" % (b"y" * 200_000),
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        CHUNKED,
        CHUNKED + b"zz\r\nabc",
    ],
    ids=["no http", "no status", "bad length", "long head", "another protocol", "short", "no last chunk", "bad chunk"],
)
async def test_a_reply_that_breaks_the_rules_of_http_is_one_of_our_errors(http, ask, raw):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(BODY))
        writer.write(raw)

    asyncio.get_running_loop().set_debug(True)  # then aiohttp complains of replies that are not closed
    async with listening(serve) as port:
        with pytest.raises(EndpointError):
            await asyncio.wait_for(ask_once(ask, f"http://127.0.0.1:{port}/v1", http), 60)


async def test_a_stream_that_breaks_the_rules_after_a_while_is_one_of_our_errors_at_once(http):
    seen = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED)
        await asyncio.wait_for(seen.wait(), 60)
        writer.write(b"zz\r\nabc")
        await reader.read()  # until the client hangs up

    async with (
        listening(serve) as port,
        transport_to(f"http://127.0.0.1:{port}/v1", http) as transport,
        aclosing(transport.stream("/responses", BODY)) as chunks,
    ):
        assert await anext(chunks) == b"abc"
        seen.set()
        with pytest.raises(UnreachableError):
            await asyncio.wait_for(anext(chunks), 60)


@both_ways
async def test_a_request_that_is_cancelled_within_a_refusal_hangs_up(http, ask):
    asyncio.get_running_loop().set_debug(True)  # as above
    gate = Gate()
    async with (
        Loopback([Reply((b"half", gate), status=500)]) as server,
        transport_to(server.base_url, http) as transport,
    ):
        request = asyncio.create_task(ask(transport))
        await gate.was_reached()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await gate.was_left()


@both_ways
async def test_a_long_head_with_many_lines_is_read(http, ask):
    headers = {f"x-{number}": "y" for number in range(300)} | {"content-security-policy": "z" * 30_000}
    async with Loopback([Reply((b"hi",), headers=headers)]) as server:
        assert await ask_once(ask, server.base_url, http) == b"hi"


async def test_closing_while_a_request_is_under_way_ends_it_with_one_of_our_errors(http):
    gate = Gate()
    async with Loopback([Reply(before=(gate,))]) as server, transport_to(server.base_url, http) as transport:
        request = asyncio.create_task(send(transport))
        await gate.was_reached()
        await transport.aclose()
        with pytest.raises(UnreachableError):
            await asyncio.wait_for(request, 60)


# --- what is left behind ---

BEGIN = """
import asyncio, gc, os, sys
from agentloop import Agent, Endpoint, Profile
from agentloop.endpoint.transport import HttpTransport
url, http = sys.argv[1:]
async def ask(transport=None):
    await (transport or HttpTransport(Endpoint(url, http=http))).send("/responses", b"{}")
"""
EVERY_WAY = """
async def closed():
    transport = HttpTransport(Endpoint(url, http=http))
    await ask(transport)
    await transport.aclose()

async def collected_while_the_loop_runs():
    await ask()
    gc.collect()
    await ask()

asyncio.run(closed())
asyncio.run(collected_while_the_loop_runs())
kept = [HttpTransport(Endpoint(url, http=http)) for _ in range(3)]
asyncio.run(ask(kept[0]))
for transport in kept[1:]:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask(transport))
    if transport is kept[1]:
        loop.close()  # its asynchronous generators are left open
agent = Agent("m", endpoint=Endpoint(url, http=http))
agent.run_sync("hi")
if http == "aiohttp":
    from agentloop.ext.aiohttp import _OPEN
    assert len(_OPEN) == 2, "that of the loop that is closed has been let go of"
"""
FORK = """
agent = Agent("m", endpoint=Endpoint(url, http=http))
agent.run_sync("hi")
child = os.fork()
if not child:
    sys.exit()
os.waitpid(child, 0)
agent.run_sync("hi again")
"""


def run_program(program, http):
    with Loopback.in_thread(lambda _: text_body("hi")) as server:
        command = [sys.executable, "-c", BEGIN + program, server.base_url, http]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return server


@pytest.mark.usefixtures("measured_programs")
def test_a_program_ends_without_a_word_about_what_it_left_open(http):
    assert len(run_program(EVERY_WAY, http).requests) == 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_ends_without_harm_to_the_connections_of_its_parent(http):
    assert run_program(FORK, http).connections == 1


# --- servers that close a connection without saying so ---


class ClosingServer(threading.Thread):
    """Answers one request on each connection, as a server that keeps connections open does, and closes it."""

    def __init__(self, requests):
        super().__init__(daemon=True)
        self._requests = requests
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self.closed = threading.Semaphore(0)

    def run(self):
        with self._listener:
            self._listener.settimeout(60)
            for _ in range(self._requests):
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rb") as request:
                    length = 0
                    while line := request.readline().strip():
                        name, _, value = line.partition(b":")
                        length = int(value) if name.lower() == b"content-length" else length
                    request.read(length)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
                    connection.shutdown(socket.SHUT_RDWR)
                self.closed.release()


@both_ways
async def test_a_connection_that_the_server_has_closed_after_a_reply_is_not_used_again(http, ask):
    server = ClosingServer(5)
    server.start()
    async with transport_to(server.base_url, http) as transport:
        for _ in range(5):
            assert await ask(transport) == b"hi"
            # The event loop does not run meanwhile, so it does not notice.
            assert server.closed.acquire(timeout=60)
    server.join(60)
