"""Images on their way into a run: from files, bytes and addresses, from users and from tools."""

import asyncio
import base64
import os
import sys
from ipaddress import ip_address

import pytest

from agentloop import Agent, Endpoint, Image, Message, Profile, Run, Text, ToolCall, ToolError, ToolResult, tool
from agentloop.endpoint.fetch import Fetcher
from agentloop.endpoint.media import MAX_IMAGE_BYTES, inline_images, load_images
from agentloop.errors import ConfigurationError
from agentloop.limits import Tally
from agentloop.runtime.invoke import Invoked, invoke
from agentloop.testing import ScriptedEndpoint, call
from agentloop.tools import ToolContext
from agentloop.wire.model_target import ModelTarget
from agentloop.wire.profile import ModelSettings
from agentloop.wire.profile.lessons import LESSONS, Lesson
from loopback import Loopback, Reply, call_body, text_body
from ways import PROFILES, both_wires, entries_in, every_dialect, kinds_in, results_in

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
PICTURES = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "image/gif": b"GIF89a\x01\x00\x01\x00",
    "image/webp": b"RIFF\x1a\n\x00\x00WEBPVP8L",
}
IMAGE = Image.from_bytes(PNG)
JPEG = Image.from_bytes(PICTURES["image/jpeg"])

each_picture = pytest.mark.parametrize(("media_type", "data"), PICTURES.items(), ids=PICTURES.keys())


def url(media_type, data):
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def target(**fields):
    return ModelTarget(
        base_url="http://here.example/v1",
        model="llama",
        instructions=None,
        tools=(),
        settings=ModelSettings(),
        profile=Profile(**fields),
    )


def write(path, data):
    path.write_bytes(data)


async def load(image, **fields):
    (loaded,) = await load_images([image], **fields)
    return loaded.url


async def refusal(image, **fields):
    with pytest.raises(ConfigurationError) as caught:
        await load(image, **fields)
    assert caught.value.hint
    return caught.value.message


def local(**fields):
    async def resolve(host, port):
        return [ip_address("127.0.0.1")]

    allow = lambda address: address.is_loopback  # noqa: E731 - it is shorter than its definition
    return Fetcher(**{"max_bytes": 1_000, "resolve": resolve, "allow": allow, **fields})


def address(server, path="/a.png"):
    return f"http://images.example:{server.base_url.rpartition(':')[2].removesuffix('/v1')}{path}"


# --- bytes and data URLs ---


@each_picture
async def test_the_type_of_a_picture_is_found_in_its_bytes(media_type, data):
    assert Image.from_bytes(data).url == url(media_type, data)
    assert await load(Image.from_bytes(data)) == url(media_type, data)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG", b"<svg/>", b"BM\x00", b"RIFF0000WAVE"])
def test_bytes_that_are_no_picture_are_refused_at_once(data):
    with pytest.raises(ConfigurationError, match="are not a picture that models accept"):
        Image.from_bytes(data)


async def test_the_type_that_is_declared_is_not_believed():
    assert await load(Image.from_bytes(PNG, "image/jpeg")) == IMAGE.url
    assert await load(Image(url("text/plain;charset=utf-8", PNG))) == IMAGE.url
    said = await refusal(Image.from_bytes(b"hello", "image/png"))
    assert said == "the data URL 'data:image/png;base64' is not an image that models accept"


@pytest.mark.parametrize(
    "written",
    [
        IMAGE.url.replace("data:image/png", "DATA:IMAGE/PNG"),
        IMAGE.url.replace("AAAA", "AA\r\n AA"),
        IMAGE.url.replace("+", "%2B").replace("=", "%3D"),
        IMAGE.url.replace("+", "%2b").replace("=", "%3d").replace("AAAA", "AA%0d%0A%20AA"),
    ],
)
async def test_a_data_url_may_be_written_in_any_way(written):
    assert await load(Image.from_url(written)) == IMAGE.url


@pytest.mark.parametrize(
    "rest",
    [
        "image/png,hello",
        "image/png;base64,h",
        "image/png;base64,é",
        "image/png;base64,\ud800",
        "image/png;base64,a=b=",
        "image/png;base64,%69VBORw0KGgoA",
    ],
)
async def test_a_data_url_that_is_not_base64_is_refused(rest):
    assert await refusal(Image(f"data:{rest}")) == f"the data URL 'data:{rest.partition(',')[0]}' does not hold base64"


async def test_a_data_url_with_letters_escaped_that_need_not_be_is_refused():
    # To read it would take half a minute for a large one.
    assert "does not hold base64" in await refusal(Image("data:image/png;base64," + "%41" * 10_000))


async def test_a_data_url_that_is_too_large_is_refused():
    assert await load(IMAGE, max_bytes=len(PNG)) == IMAGE.url
    said = await refusal(IMAGE, max_bytes=len(PNG) - 1)
    assert said.endswith(f"is larger than the {len(PNG) - 1} bytes that fit into a request to this endpoint")


@pytest.mark.parametrize("given", ["photo.png", "/home/me/photo.png", "C:/photo.png", "ftp://images.example/a.png", ""])
async def test_what_is_no_address_is_refused_wherever_it_is_given(given):
    with pytest.raises(ConfigurationError, match=r"is not the address of an image(.|\n)*Image.from_path"):
        Image.from_url(given)
    assert "is not the address of an image" in await refusal(Image(given))


def test_an_image_does_not_fill_the_screen():
    assert repr(Image("http://images.example/")) == "Image('http://images.example/')"
    assert len(repr(Image.from_bytes(PNG * 1_000))) < 150


# --- files ---


@each_picture
async def test_a_file_is_read_when_it_enters_a_run(media_type, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = Image.from_path("a name & 100%.txt")
    monkeypatch.chdir("/")
    (tmp_path / "a name & 100%.txt").write_bytes(data)
    assert image.url.startswith("file:///")
    assert await load(image) == url(media_type, data)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode elsewhere")
async def test_the_name_of_a_file_may_be_anything(tmp_path):
    for name in (b"\xff\xfe.png", "ü?#.png".encode()):
        write(tmp_path / os.fsdecode(name), PNG)
        assert await load(Image.from_path(tmp_path / os.fsdecode(name))) == IMAGE.url


@pytest.mark.parametrize("start", ["file:", "FILE://", "file://localhost"])
async def test_the_url_of_a_file_may_be_written_in_any_way(start, tmp_path):
    write(tmp_path / "a.png", PNG)
    assert await load(Image(f"{start}{(tmp_path / 'a.png').as_posix()}?size=1#top")) == IMAGE.url
    assert "is a directory" in await refusal(Image("file://["))


async def test_a_file_that_is_not_there_is_named(tmp_path):
    assert await refusal(Image.from_path(tmp_path / "a.png")) == f"the image {tmp_path / 'a.png'} does not exist"


async def test_a_directory_is_no_picture(tmp_path):
    assert await refusal(Image.from_path(tmp_path)) == f"the image {tmp_path} is a directory"


async def test_a_file_of_text_is_no_picture(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    assert await refusal(Image.from_path(tmp_path / "a.png")) == (
        f"the file {tmp_path / 'a.png'} is not an image that models accept"
    )


async def test_a_file_that_is_too_large_is_not_read_whole(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    os.truncate(path, 100 * MAX_IMAGE_BYTES)
    assert (
        await refusal(Image.from_path(path))
        == f"the file {path} is larger than the 20,000,000 bytes that an image may have"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
async def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert "can't be read: it is a pipe or a device" in await refusal(Image.from_path(tmp_path / "a.png"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
async def test_a_file_that_turns_into_a_pipe_while_it_is_looked_at_is_not_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    opened = os.open

    def swap(name, flags):
        path.unlink()
        os.mkfifo(path)
        return opened(name, flags)

    monkeypatch.setattr("agentloop.endpoint.media.os.open", swap)
    assert "can't be read: it is a pipe or a device" in await refusal(Image.from_path(path))


async def test_a_path_that_cannot_be_one_is_refused(tmp_path):
    assert "can't be read: embedded null byte" in await refusal(Image.from_path("a\0.png"))
    assert "does not exist" in await refusal(Image("file:///no/such/\ud800.png"))
    assert "can't be read: File name too long" in await refusal(Image.from_path("a" * 300))
    (tmp_path / "a").touch()
    assert "can't be read: Not a directory" in await refusal(Image.from_path(tmp_path / "a" / "b.png"))


# --- addresses ---


@each_picture
async def test_a_picture_is_fetched_whatever_its_server_calls_it(media_type, data):
    async with Loopback([Reply((data,), content_type="text/html")]) as server:
        assert await load(Image.from_url(address(server)), fetcher=local()) == url(media_type, data)


async def test_a_page_is_no_picture():
    async with Loopback([Reply((b"<html>",), content_type="image/png")]) as server:
        said = await refusal(Image(address(server, "/a.png?key=secret")), fetcher=local())
    assert "/a.png is not an image that models accept" in said


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "169.254.169.254", "2130706433"])
async def test_by_itself_it_fetches_from_the_public_network_only(host):
    said = await refusal(Image.from_url(f"http://{host}/a.png"))
    assert said.startswith("the image can't be fetched: ")
    assert said.endswith("which is not on the public network")


# --- conversations ---


async def test_every_image_of_a_conversation_becomes_a_data_url(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    file = Image.from_path(path)
    items = (
        Message("user", (Text("first"), file, JPEG, file)),
        ToolCall("call_1", "plot", "{}"),
        ToolResult("call_1", "done", images=(file, JPEG)),
        ToolResult("call_2", "none"),
        Message("user", "last"),
    )
    inlined = await inline_images(items, target())
    assert inlined == (
        Message("user", (Text("first"), IMAGE, JPEG, IMAGE)),
        items[1],
        ToolResult("call_1", "done", images=(IMAGE, JPEG)),
        *items[3:],
    )
    assert await inline_images(inlined, target()) == inlined


async def test_of_several_images_that_fail_the_first_is_named_and_none_is_left_loading(tmp_path):
    async with Loopback([Reply((PNG,))]) as server:
        images = [Image.from_url(address(server)), Image.from_path(tmp_path / "b.png"), Image("c.png")]
        with pytest.raises(ConfigurationError, match=r"b\.png does not exist"):
            await load_images(images, fetcher=local())
    assert len(server.requests) == 1


async def test_a_body_that_may_not_be_large_bounds_its_images():
    fits = target(body_bytes=(len(PNG) + 2) * 4 // 3)
    assert await inline_images([Message("user", (IMAGE,))], fits) == (Message("user", (IMAGE,)),)
    with pytest.raises(ConfigurationError, match="bytes that fit into a request to this endpoint"):
        await inline_images([Message("user", (IMAGE,))], target(body_bytes=len(PNG)))


@pytest.mark.parametrize("role", ["assistant", "system"])
async def test_only_the_user_shows_images(role):
    with pytest.raises(ConfigurationError, match=f"a message of the {role} holds an image"):
        await inline_images([Message(role, (IMAGE,))], target())


async def test_a_model_that_sees_no_images_is_told_of_by_name_with_those_that_do():
    items = [Message("user", (Image.from_path("/is/not/read.png"),))]
    with pytest.raises(ConfigurationError) as caught:
        await inline_images(items, target(images=False, image_models=("Qwen2.5-VL-72B", "Mistral-Small")))
    assert caught.value.message == "the model llama can't see images, and the conversation holds one"
    assert "Qwen2.5-VL-72B, Mistral-Small" in caught.value.hint
    assert "Profile(images=True)" in caught.value.hint
    with pytest.raises(ConfigurationError, match="use a model that sees images;"):
        await inline_images(items, target(images=False))


async def test_what_was_learned_about_a_model_counts():
    asked = target()
    LESSONS[asked.key] = (Lesson("images", was=True, now=False, why="it said so"),)
    with pytest.raises(ConfigurationError, match="can't see images"):
        await inline_images([Message("user", (IMAGE,))], asked)


async def test_images_that_tools_returned_do_not_stand_in_the_way_of_another_model():
    items = (ToolCall("call_1", "plot", "{}"), ToolResult("call_1", "", images=(IMAGE,)))
    assert await inline_images(items, target(images=False)) == items


# --- runs ---


@both_wires
def test_a_file_that_a_user_shows_goes_to_the_model_and_into_the_run(way, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    with way.serving([text_body("A pixel.")]) as (agent, server):
        result = way.ask(agent, Message("user", (Text("What is this?"), Image.from_path(path))))
    assert IMAGE.url in server.requests[0].body.decode()
    assert result.items[0] == Message("user", (Text("What is this?"), IMAGE))
    assert Run.from_json(result.run.to_json()) == result.run


@both_wires
def test_nothing_is_sent_when_an_image_is_none(way, tmp_path):
    with way.serving([]) as (agent, server), pytest.raises(ConfigurationError, match="does not exist"):
        way.ask(agent, Message("user", (Image.from_path(tmp_path / "a.png"),)))
    assert server.requests == []


@tool
def plot(of: str) -> list[Text | Image]:
    """Plot something."""
    return [Text(f"Here is {of}:"), IMAGE, JPEG]


@tool
def look() -> Image:
    """Look."""
    return IMAGE


@tool
def count() -> int:
    """Count."""
    return 3


@every_dialect
def test_images_of_tools_reach_the_model_on_every_route(way):
    script = [call_body(("plot", {"of": "tides"})), text_body("A pixel."), text_body("Still.")]
    with way.serving(script, plot) as (agent, server):
        result = way.ask(agent, "Plot the tides.")
        way.ask(agent, "And now?", history=result.items)
    told = next(item for item in result.items if isinstance(item, ToolResult))
    assert told == ToolResult(told.call_id, "Here is tides:\n[image 1]\n[image 2]", images=(IMAGE, JPEG))
    assert Run.from_json(result.run.to_json()) == result.run
    for request in server.requests[1:]:
        body = request.body.decode()
        assert (body.count(IMAGE.url), body.count(JPEG.url)) == (1, 1)
        assert body.index("Here is tides") < body.index(IMAGE.url) < body.index(JPEG.url)


@pytest.mark.parametrize("dialect", ["native", "message", "chat"])
def test_the_images_of_a_turn_come_after_all_its_results(dialect):
    script = [call_body(("plot", {"of": "tides"}), ("count", {}), ("look", {})), text_body("Nice."), text_body("Yes.")]
    with Loopback.in_thread(script, dialect) as server:
        agent = Agent("any", endpoint=Endpoint(server.base_url, profile=PROFILES[dialect]), tools=[plot, count, look])
        result = agent.run_sync("Plot, count and look.")
        agent.run_sync("Sure?", history=result.items)
        agent.close()
    second, third = server.requests[1:]
    assert kinds_in(second) == ["user", "call", "call", "call", "result", "result", "result", "user"]
    assert kinds_in(third) == [*kinds_in(second), "assistant", "user"]
    assert results_in(second) == ["Here is tides:\n[image 1]\n[image 2]", "3", "(see the image below)"]
    parts = entries_in(second.json)[-1][3]
    assert [part.get("text") for part in parts] == [
        "Image 1 of the result of plot (call_1):",
        None,
        "Image 2 of the result of plot (call_1):",
        None,
        "Image 1 of the result of look (call_3):",
        None,
    ]


def test_images_stay_in_the_result_where_the_server_takes_them_there():
    endpoint = ScriptedEndpoint(
        [[call("plot", {"of": "x"}), call("look")], "Nice."], profile=Profile(tool_images="result")
    )
    Agent("any", endpoint=endpoint, tools=[plot, look]).run_sync("Plot and look.")
    first, second = endpoint.requests[1]["input"][-2:]
    pixel, photo = ({"type": "input_image", "image_url": image.url, "detail": "auto"} for image in (IMAGE, JPEG))
    text = {"type": "input_text", "text": "Here is x:\n[image 1]\n[image 2]"}
    assert first == {"type": "function_call_output", "call_id": "call_1", "output": [text, pixel, photo]}
    assert second == {"type": "function_call_output", "call_id": "call_2", "output": [pixel]}


@pytest.mark.parametrize("dialect", ["native", "message", "chat", "prompted"])
def test_a_model_that_sees_no_images_is_told_that_there_was_one_and_the_run_goes_on(dialect):
    script = [call_body(("look", {})), text_body("Sorry.")]
    profile = {"images": False, "tool_images": "result"}
    with Loopback.in_thread(script, dialect) as server:
        fields = {field: getattr(PROFILES[dialect], field) for field in ("route", "tool_items", "tool_calling")}
        agent = Agent("any", endpoint=Endpoint(server.base_url, profile=Profile(**fields, **profile)), tools=[look])
        assert agent.run_sync("Look.").text == "Sorry."
        agent.close()
    body = server.requests[1].body.decode()
    assert "(an image, which you can't see)" in body
    assert IMAGE.url not in body


# --- results of tools ---


async def run_tool(function, seconds=None, **options) -> Invoked:
    context = ToolContext("run_1", "call_1", Tally(), None)
    async with asyncio.timeout(60):
        return await invoke(tool(function), ToolCall("call_1", "get", "{}"), context, seconds, print, **options)


async def test_an_image_that_cannot_be_had_is_told_to_the_model_without_its_folders(tmp_path):
    async def get() -> list[str | Image]:
        """Get it."""
        return ["Order 42 is placed.", Image.from_path(tmp_path / "a.png")]

    invoked = await run_tool(get)
    assert invoked.result == ToolResult(
        "call_1",
        "get ran, but its image can't be shown: the image a.png does not exist\nOrder 42 is placed.\n[image 1]",
        ok=False,
    )
    assert isinstance(invoked.error, ToolError)
    assert isinstance(invoked.error.__cause__, ConfigurationError)


async def test_an_image_too_large_for_the_endpoint_is_told_to_the_model():
    def get() -> Image:
        """Get it."""
        return IMAGE

    invoked = await run_tool(get, max_image_bytes=10)
    assert "larger than the 10 bytes that fit into a request" in invoked.result.content


async def test_loading_an_image_takes_from_the_tools_time(monkeypatch):
    async def get() -> Image:
        """Get it."""
        return Image.from_url("http://images.example/")

    async def look_up(*_, **__):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    invoked = await run_tool(get, seconds=0.1)
    assert invoked.result.content == "get ran, but its image can't be shown: it did not load in time"
    assert not invoked.result.ok
