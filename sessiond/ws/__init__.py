"""WebSockets: the only place that knows Autobahn."""

import txaio

txaio.use_twisted()
