"""Reads a picture to its last pixel."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from blocks.media.errors import MediaError
from blocks.media.facts import ImageFacts, ImageFormat
from blocks.media.signatures import HEAD_BYTES, looks_like

# Decoded at 4 bytes a pixel this is about 360 MB; Pillow itself warns above it.
MAXIMUM_PIXELS = 89_478_485


def read_image(file: BinaryIO) -> ImageFacts:
    """Decode the JPEG or PNG picture in `file`.

    Raises:
        MediaError: It is something else, damaged, cut off, or has more than `MAXIMUM_PIXELS`.
    """
    try:
        with Image.open(file, formats=["JPEG", "PNG"]) as image:
            _check_pixels(*image.size)
            image.load()
            # An MPO file is a JPEG whose further pictures are thumbnails or the other eye's view.
            found: ImageFormat = "PNG" if image.format == "PNG" else "JPEG"
            frames = getattr(image, "n_frames", 1) if found == "PNG" else 1
            return ImageFacts(found, *image.size, frames)
    except (MediaError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise MediaError(_instead(file)) from error
    except Image.DecompressionBombError as error:
        raise MediaError("has more pixels than can be checked") from error
    except Exception as error:
        # A hostile file makes Pillow raise nearly anything.
        raise MediaError("is a damaged or cut off picture") from error


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAXIMUM_PIXELS:
        raise MediaError(f"has {width} x {height} pixels, more than can be checked")


def _instead(file: BinaryIO) -> str:
    file.seek(0)
    seen = looks_like(file.read(HEAD_BYTES))
    if seen in ("a JPEG picture", "a PNG picture"):
        return "is a damaged or cut off picture"
    return f"is {seen}, not a JPEG or PNG picture" if seen else "is not a JPEG or PNG picture"
