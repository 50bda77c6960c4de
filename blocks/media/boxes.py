"""Walks the top-level boxes of an MP4 file while it streams by, and keeps what measuring it needs.

Box structure: https://mp4ra.org/registered-types/boxes and ISO/IEC 14496-12, section 4.2.
"""

from __future__ import annotations

KEPT_BYTES = 32 * 1024 * 1024
MEDIA_BYTES = 1024 * 1024
MAXIMUM_BOXES = 100_000
_NOT_KEPT = (b"mdat", b"free", b"skip", b"wide")


class BoxWalker:
    """The top-level boxes of one file, fed in chunks of any length.

    Everything but media data and padding is kept, at most `kept_bytes`; of the media data the first
    `media_bytes`. What was fed beyond that is only counted, so memory stays bounded.

    Attributes:
        size: Bytes fed so far.
        kinds: Types of the boxes seen so far.
        pieces: The kept bytes, each with its offset in the file, in order.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES, media_bytes: int = MEDIA_BYTES) -> None:
        self.size = 0
        self.kinds: set[bytes] = set()
        self.pieces: list[tuple[int, bytearray]] = []
        self._fault: str | None = None
        self._boxes = 0
        self._room = kept_bytes
        self._media_room = media_bytes
        self._header = bytearray()
        self._kind = b""
        self._left: int | None = 0  # bytes of the open box still to come; None: it goes to the end
        self._keeping = 0  # how many of those are kept

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file."""
        view = memoryview(chunk)
        while view and self._fault is None:
            taken = self._take_header(view) if self._left == 0 else self._take_payload(view)
            self.size += taken
            view = view[taken:]
        self.size += len(view)

    @property
    def shows_its_beginning(self) -> bool:
        """Whether the index and all media data that is kept were fed: a look needs no more."""
        return b"moov" in self.kinds and self._kind == b"mdat" and not self._keeping

    def problem(self) -> str | None:
        """Say why what was fed is not a whole sequence of boxes; `None` when it is."""
        if self._fault is not None:
            return self._fault
        if self._header:
            return "is cut off inside the head of a box"
        if self._left:
            return f"is cut off: {self._left} bytes of its {_shown(self._kind)} box are missing"
        return None

    def _take_header(self, view: memoryview) -> int:
        header = self._header
        taken = min((8 if len(header) < 8 else 16) - len(header), len(view))
        header += view[:taken]
        has_long_size = header[:4] == b"\0\0\0\1"
        if len(header) == (16 if has_long_size else 8):
            self._open_box(self.size + taken - len(header))
        return taken

    def _open_box(self, offset: int) -> None:
        header, self._header = self._header, bytearray()
        self._kind = bytes(header[4:8])
        self.kinds.add(self._kind)
        self._boxes += 1
        length = int.from_bytes(header[8:] or header[:4], "big")
        if self._boxes > MAXIMUM_BOXES:
            self._fault = f"has more than {MAXIMUM_BOXES} boxes"
        elif length == 0 and len(header) == 8:
            self._left = None
        elif length < len(header):
            self._fault = f"has a {_shown(self._kind)} box of impossible length"
        else:
            self._left = length - len(header)
        self._keep(offset, header)
        self._keeping = self._wanted()

    def _wanted(self) -> int:
        if self._kind not in _NOT_KEPT:
            return self._room + 1 if self._left is None else self._left
        if self._kind != b"mdat":
            return 0
        wanted = self._media_room if self._left is None else min(self._left, self._media_room)
        self._media_room -= wanted
        return wanted

    def _take_payload(self, view: memoryview) -> int:
        taken = len(view) if self._left is None else min(len(view), self._left)
        kept = min(taken, self._keeping)
        if kept:
            self._keep(self.size, view[:kept])
            self._keeping -= kept
        if self._left is not None:
            self._left -= taken
        return taken

    def _keep(self, offset: int, data: bytearray | memoryview) -> None:
        self._room -= len(data)
        if self._room < 0:
            self._fault = "has an index larger than can be checked"
            return
        if self.pieces:
            start, piece = self.pieces[-1]
            if start + len(piece) == offset:
                piece += data
                return
        self.pieces.append((offset, bytearray(data)))


def _shown(kind: bytes) -> str:
    text = kind.decode("ascii", "replace")
    return f"'{text}'" if text.isascii() and text.isprintable() else "unnamed"
