"""Decodes bytes from the network as text, even if the declared charset is wrong."""

from __future__ import annotations

import codecs
import re

_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_DECLARED_WITHIN = 2_048
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# Only these codecs are used: some others of Python's are not charsets, and are slow.
_FAMILIES = re.compile(
    r"utf-8|utf-16|utf-16-[bl]e|utf-32|ascii|latin-?1|(?:iso|koi|mac|cp|windows|big5|gb|euc|shift|johab|tis)[\w-]*"
)


def decode(content: bytes, content_type: str) -> str:
    """Return bytes as text.

    The charset is that of the byte order mark, else the one that the server or the page declares, else UTF-8, else
    Windows-1252: the first with which the bytes can be decoded.
    """
    marked = [name for mark, name in _MARKS if content.startswith(mark)]
    head = content[:_DECLARED_WITHIN].decode("latin-1")
    declared = [match[1] for match in (_CHARSET.search(content_type), _CHARSET.search(head)) if match]
    for name in (*marked, *declared, "utf-8"):
        try:
            codec = codecs.lookup(name)
            if _FAMILIES.fullmatch(codec.name) or name in marked:
                return content.decode(name)
        except (LookupError, ValueError):
            continue
    return content.decode("cp1252", "replace")
