"""How the answer of an MCP server is read: what it says twice is read once, and what differs is kept."""

import base64
import json

import mcp_types as types
import pytest

import mcp_server_plain
from agentloop import Image, ToolError
from agentloop.ext.mcp.results import read_result


def read(*texts, **fields):
    return read_result(types.CallToolResult(content=[types.TextContent(text=text) for text in texts], **fields))


@pytest.mark.parametrize(
    ("texts", "structured"),
    [
        (["plain words"], {"result": "plain words"}),
        (["  plain words\n"], {"result": "plain words"}),
        (["plain words"], {"value": "plain words "}),
        (['"quoted"'], {"result": "quoted"}),
        (["7"], {"result": 7}),
        (["7.0"], {"result": 7}),
        (["true"], {"result": True}),
        (["null"], {"result": None}),
        (["3"], 3),
        (['{"b": 1, "a": [2]}'], {"a": [2], "b": 1}),
        (['{"result": {"a": 1}}'], {"result": {"a": 1}}),
        (['{"a": 1}'], {"result": {"a": 1}}),
        (["[1, 2]"], {"result": [1, 2]}),
        (["[]"], {"result": []}),
        (["1", "2"], {"result": [1, 2]}),
        (["1", "two", '{"three": 3}'], {"result": [1, "two", {"three": 3}]}),
        (["1", "2", "3"], {"result": [[1], [2, [3]]]}),
        (["first line", "second line"], {"result": "first line\nsecond line"}),
        (["half", "way"], {"result": "halfway"}),
        (['{"a":', " 1}"], {"a": 1}),
        (["note", '{"a": 1}'], {"a": 1}),
        (['{"a": 1}', "note"], {"a": 1}),
    ],
)
def test_what_is_said_twice_is_read_once(texts, structured):
    assert read(*texts, structured_content=structured) == "\n".join(texts)


@pytest.mark.parametrize(
    ("texts", "structured"),
    [
        (["three birds"], {"result": "four birds"}),
        (["3"], {"result": 4}),
        (["3"], {"result": "three"}),
        (["Three were found."], {"count": 3}),
        (["heron"], {"name": "heron", "size": "large"}),
        (['{"a": 1}'], {"a": 1, "b": 2}),
        (["1", "2"], {"result": [2, 1]}),
        (["1", "2"], {"result": [1, 2, 3]}),
        (["1", "2"], {"result": [1]}),
        (["1"], {"result": []}),
        ([], {"result": []}),
        ([], {"result": ""}),
        ([], {}),
        (["x"], {}),
        (["1"], {"result": [[[[]]], "é"]}),
        (["[" * 100_000], {"result": [1]}),
        (["NaN is no number"], {"result": 0}),
    ],
)
def test_what_differs_is_kept(texts, structured):
    expected = [*texts, json.dumps(structured, ensure_ascii=False)]
    assert read(*texts, structured_content=structured) == "\n".join(expected)


def test_without_structured_content_the_texts_are_the_result():
    assert (read(), read("a", "", "b")) == ("", "a\n\nb")


PICTURE = types.ImageContent(data=mcp_server_plain.PIXEL, mime_type="image/png")


@pytest.mark.parametrize(
    ("structured", "more"), [({"result": "a pixel"}, []), ({"width": 1}, ['{"width": 1}']), (None, [])]
)
def test_texts_beside_an_image_are_compared_too(structured, more):
    content = [types.TextContent(text="a pixel"), PICTURE]
    text, image, *rest = read_result(types.CallToolResult(content=content, structured_content=structured))
    assert isinstance(image, Image)
    assert (text, rest) == ("a pixel", more)


@pytest.mark.parametrize("data", ["no base64", base64.b64encode(b"no picture").decode(), "", "é"])
def test_an_image_that_is_none_is_a_text(data):
    picture = types.ImageContent(data=data, mime_type="image/png")
    assert (
        read_result(types.CallToolResult(content=[picture])) == "[image/png, which is not an image that can be shown]"
    )


@pytest.mark.parametrize(("count", "left_out"), [(20, 0), (21, 1), (50, 30)])
def test_images_over_the_limit_are_counted_and_texts_between_them_stay(count, left_out):
    content = [block for at in range(count) for block in (types.TextContent(text=str(at)), PICTURE)]
    parts = read_result(types.CallToolResult(content=content))
    texts = [part for part in parts if isinstance(part, str)]
    said = [f"[{left_out} more images, which are left out]"] if left_out else []
    assert texts == [*map(str, range(count)), *said]
    assert len(parts) - len(texts) == 20


RESOURCE = {"uri": "memo:1", "mime_type": "text/plain"}


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (types.AudioContent(data="A" * 1_234, mime_type="audio/wav"), "[audio/wav of 1,234 characters in base64"),
        (types.ResourceLink(name="memo", uri="memo:1"), "[resource memo: memo:1]"),
        (types.EmbeddedResource(resource=types.TextResourceContents(text="hi", **RESOURCE)), "[resource memo:1]\nhi"),
        (
            types.EmbeddedResource(resource=types.BlobResourceContents(blob="AA==", **RESOURCE)),
            "[resource memo:1: text/plain, which is not text]",
        ),
        (
            types.EmbeddedResource(resource=types.BlobResourceContents(blob="AA==", uri="memo:2")),
            "[resource memo:2: bytes, which is not text]",
        ),
    ],
)
def test_what_can_not_be_shown_is_named(block, text):
    assert read_result(types.CallToolResult(content=[block])).startswith(text)


def test_a_failure_is_told_in_the_servers_words_and_cut():
    for texts, expected in ((["no disk", "try later"], "no disk\ntry later"), (["x" * 9_000], "x" * 4_000)):
        with pytest.raises(ToolError) as raised:
            read(*texts, is_error=True, structured_content={"not": "read"})
        assert raised.value.message == expected
    with pytest.raises(ToolError, match="does not say why"):
        read(is_error=True)
