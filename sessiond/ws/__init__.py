"""WebSockets: the only place that knows Autobahn."""

import txaio

txaio.use_twisted()  # type: ignore[no-untyped-call]
