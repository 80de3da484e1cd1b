"""wslink's protocol: calls, publications and attachments over one WebSocket, in both of its generations.

``values``, ``text`` and ``packed`` are pure; ``link`` is one connection, ``endpoint`` all of them.
"""
