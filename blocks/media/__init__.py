"""What an image, an audio or a video file really is, measured in a process of its own."""

from blocks.media.clip import ClipInspector, check_seconds
from blocks.media.errors import MediaError
from blocks.media.facts import AudioFacts, ClipFacts, ImageFacts
from blocks.media.measure import measure_audio, measure_image
from blocks.media.poster import PosterMaker, make_thumbnail

__all__ = [
    "AudioFacts",
    "ClipFacts",
    "ClipInspector",
    "ImageFacts",
    "MediaError",
    "PosterMaker",
    "check_seconds",
    "make_thumbnail",
    "measure_audio",
    "measure_image",
]
