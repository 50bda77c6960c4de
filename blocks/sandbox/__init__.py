"""A CometAPI on localhost: same paths, envelopes, limits, statuses and errors, and nothing is ever charged.

It imports none of the project's own code, because it is the second opinion about the wire.
Start it with `python -m blocks.sandbox`; `blocks.sandbox.serve.running_sandbox` runs it in a thread.
"""
