"""Reading a file that the reference itself carries."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote

from blocks.kling.sources.refusal import Refused

_INLINE = "data:<type>;base64,<content>"


def read_inline(reference: str, most_bytes: int) -> bytes:
    """Decode at most `most_bytes` of a base64 `data:` URI.

    Raises:
        Refused: It is not base64.
    """
    head, _, content = reference.partition(",")
    if not head.lower().endswith(";base64"):
        raise Refused("a data: URI that is not base64", _INLINE)
    if "%" in content:
        content = unquote(content)
    # Four characters carry three bytes; what is beyond the limit is not decoded.
    content = "".join(content.split())
    needed = -(-most_bytes // 3) * 4
    try:
        return base64.b64decode(content[:needed], validate=True)[:most_bytes]
    except (binascii.Error, ValueError):
        raise Refused("a data: URI whose base64 is damaged", _INLINE) from None
