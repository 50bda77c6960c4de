"""What an image, an audio or a video file really is, measured in a child process."""
