"""Runs twistd with tunnels whose frames Autobahn reads and writes: the relay that ours is compared with."""

import functools

from twisted.scripts.twistd import run

from sessiond.boot import parts
from sessiond.ws.tunnels import Tunnels

if __name__ == "__main__":
    vars(parts)["Tunnels"] = functools.partial(Tunnels, by_autobahn=True)
    run()
