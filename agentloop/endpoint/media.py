"""Reads, fetches and checks the images of a run, and turns them into data URLs.

Endpoints accept images only in this form, and a stored run must not depend on files or addresses. `fetch` does the
fetching; `wire/` writes images in the form of each route.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import stat
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from agentloop.errors import ConfigurationError, FetchError
from agentloop.items import Image, Item, Message, Part, ToolResult, find_images, media_type_of
from agentloop.wire.model_target import ModelTarget
from agentloop.wire.profile import Profile
from agentloop.wire.profile.lessons import LESSONS, apply_lessons

if TYPE_CHECKING:
    from agentloop.endpoint.fetch import Fetcher

MAX_IMAGE_BYTES = 20_000_000
_ACCEPT = "image/png, image/jpeg, image/gif, image/webp"
_SHOWN_CHARACTERS = 200
_BASE64 = (string.ascii_letters + string.digits + "+/").encode()
_PADDINGS = (b"", b"=", b"==")
# All escapes that base64 can need. `unquote` would take half a minute for a large URL with every letter escaped.
_ESCAPES = {"%2b": "+", "%2f": "/", "%3d": "=", "%0a": "", "%0d": "", "%20": ""}
_FIRST = 32
_FILE_URL = re.compile(r"^file:(//[^/]*)?|[?#].*", re.IGNORECASE | re.DOTALL)
_WHY: Mapping[type[Exception], str] = {FileNotFoundError: "does not exist", IsADirectoryError: "is a directory"}


def check_images(items: Iterable[Item], model: str, profile: Profile) -> None:
    """Check that the model can see the images in the messages of the conversation.

    Images in tools' results are not checked, because they are not the user's mistake: a note in the result tells the
    model about them.

    Raises:
        ConfigurationError: the model can't see images, or an image is in a message of a role that may not have one.
    """
    messages = [item for item in items if isinstance(item, Message) and any(map(_is_image, item.content))]
    for message in messages:
        if message.role != "user":
            raise ConfigurationError(
                f"a message of the {message.role} holds an image, which no endpoint accepts",
                hint='put the image into a message of the user: Message("user", (Text("..."), image))',
            )
    if messages and not profile.images:
        models = ", ".join(profile.image_models)
        choice = f"use a model that sees images, such as {models}" if models else "use a model that sees images"
        raise ConfigurationError(
            f"the model {model} can't see images, and the conversation holds one",
            hint=f"{choice}; if this one does, say so with Endpoint(..., profile=Profile(images=True))",
        )


async def inline_images(items: Sequence[Item], target: ModelTarget, fetcher: Fetcher | None = None) -> tuple[Item, ...]:
    """Return the items of a conversation with every image as a data URL that is checked to hold an image.

    Args:
        items: The conversation.
        target: The model and its profile, which say whether images are accepted and how large they may be.
        fetcher: Fetches http and https URLs; None for a new one.

    Raises:
        ConfigurationError: an image can't be read or fetched, is not an image, is too large, or can't be seen by the
            model.
    """
    # Keys are identities, because hashing a data URL would take as long as the rest of this function.
    images = {id(image): image for item in items for image in find_images(item)}
    if not images:
        return tuple(items)
    profile = apply_lessons(target.profile, LESSONS.get(target.key, ()))
    check_images(items, target.model, profile)
    loaded = await load_images(tuple(images.values()), max_image_bytes(profile), fetcher)
    by_id = dict(zip(images, loaded, strict=True))
    return tuple(_put_in(item, by_id) for item in items)


async def load_images(
    images: Sequence[Image], max_bytes: int = MAX_IMAGE_BYTES, fetcher: Fetcher | None = None
) -> tuple[Image, ...]:
    """Return the images as data URLs; all files are read and all addresses fetched concurrently.

    Raises:
        ConfigurationError: an image can't be read or fetched, is not an image, or is too large. If there are several
            such images, the error is about the first.
    """
    loading = (_load(image, max_bytes, fetcher) for image in images)
    loaded = await asyncio.gather(*loading, return_exceptions=True)
    for each in loaded:
        if isinstance(each, BaseException):
            raise each
    return tuple(each for each in loaded if isinstance(each, Image))


def max_image_bytes(profile: Profile) -> int:
    """Return the largest size of an image in bytes; in base64 it takes a third more of a request's body."""
    return MAX_IMAGE_BYTES if profile.body_bytes is None else min(MAX_IMAGE_BYTES, profile.body_bytes * 3 // 4)


def _is_image(part: Part) -> bool:
    return isinstance(part, Image)


def _put_in(item: Item, loaded: Mapping[int, Image]) -> Item:
    if isinstance(item, ToolResult) and item.images:
        return replace(item, images=tuple(loaded[id(image)] for image in item.images))
    if isinstance(item, Message) and any(map(_is_image, item.content)):
        content = tuple(loaded.get(id(part), part) for part in item.content)
        return Message(item.role, content, phase=item.phase)
    return item


async def _load(image: Image, max_bytes: int, fetcher: Fetcher | None) -> Image:
    url = image.url
    match url[:8].partition(":")[0].lower():
        case "data":
            return _check_data_url(image, max_bytes)
        case "file":
            return await asyncio.to_thread(_read, _path(url), max_bytes)
        case "http" | "https":
            return await _fetch(url, max_bytes, fetcher)
        case _:
            raise ConfigurationError(
                f"{url[:_SHOWN_CHARACTERS]!r} is not the address of an image",
                hint="make images with Image.from_path, Image.from_bytes or Image.from_url",
            )


def _check_data_url(image: Image, max_bytes: int) -> Image:
    head, _, payload = image.url.partition(",")
    what = f"the data URL {head[:_SHOWN_CHARACTERS]!r}"
    for clean in (str, _unescape):
        text = clean(payload)
        # Decoding the whole text would take five times as long.
        rest = text.encode(errors="replace").translate(None, _BASE64)
        if rest in _PADDINGS and text.endswith(rest.decode()) and len(text) % 4 == 0:
            media_type = _check(base64.b64decode(text[:_FIRST]), len(text) // 4 * 3 - len(rest), what, max_bytes)
            is_whole = text is payload and head == f"data:{media_type};base64"
            return image if is_whole else Image(f"data:{media_type};base64,{text}")
    raise ConfigurationError(f"{what} does not hold base64", hint="make it with Image.from_bytes(...)")


def _unescape(text: str) -> str:
    for escape, meant in _ESCAPES.items():
        text = text.replace(escape, meant).replace(escape.upper(), meant)
    return "".join(text.split())


async def _fetch(url: str, max_bytes: int, fetcher: Fetcher | None) -> Image:
    from agentloop.endpoint.fetch import Fetcher  # noqa: PLC0415 - takes 0.15 s, needed only for a fetch

    try:
        fetched = await (fetcher or Fetcher(max_bytes=max_bytes, accept=_ACCEPT)).get(url)
    except FetchError as error:
        raise ConfigurationError(
            f"the image can't be fetched: {error.message}",
            hint="check the address, get the image yourself and use Image.from_path or Image.from_bytes, or allow the "
            "host of a redirect with Policy(hosts=...)",
        ) from error
    data = fetched.content
    return Image.from_bytes(data, _check(data, len(data), f"what is at {_without_query(url)}", max_bytes))


def _read(path: Path, max_bytes: int) -> Image:
    try:
        data = _read_file(path, max_bytes + 1)
    except (OSError, ValueError) as error:
        why = _WHY.get(type(error)) or f"can't be read: {getattr(error, 'strerror', None) or error}"
        raise ConfigurationError(f"the image {path} {why}", hint="give the path of a picture") from error
    return Image.from_bytes(data, _check(data, len(data), f"the file {path}", max_bytes))


def _read_file(path: Path, max_bytes: int) -> bytes:
    if path.is_dir():
        raise IsADirectoryError
    with open(path, "rb", opener=_open_at_once) as file:
        # The open file is checked, because the path may lead to another file a moment later.
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is a pipe or a device")  # reading it might never end
        return file.read(max_bytes) or b""  # read() returns None if no data is available yet, as in /proc/kmsg


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no O_NONBLOCK


def _check(first: bytes, size: int, what: str, max_bytes: int) -> str:
    """Return the media type of an image, which its first bytes determine, not its name."""
    if size > max_bytes:
        whose = "an image may have" if max_bytes == MAX_IMAGE_BYTES else "fit into a request to this endpoint"
        raise ConfigurationError(
            f"{what} is larger than the {max_bytes:,} bytes that {whose}", hint="make the picture smaller"
        )
    media_type = media_type_of(first)
    if media_type is None:
        raise ConfigurationError(
            f"{what} is not an image that models accept", hint="give a PNG, JPEG, GIF or WebP; convert others first"
        )
    return media_type


def _path(url: str) -> Path:
    path = os.fsdecode(unquote_to_bytes(_FILE_URL.sub("", url).encode("utf-8", "surrogatepass")))
    return Path(path.removeprefix("/") if os.name == "nt" else path)


def _without_query(url: str) -> str:
    """Return a URL without its query, which may hold a key."""
    return url.partition("?")[0][:_SHOWN_CHARACTERS]
