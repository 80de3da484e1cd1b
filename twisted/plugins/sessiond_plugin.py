"""Name the daemon to twistd, which imports every plugin to list it: so this file imports nothing of ours."""

from twisted.application.service import ServiceMaker

serviceMaker = ServiceMaker(
    "sessiond",
    "sessiond.boot",
    "The session daemon: reserves, launches, watches, tunnels and takes back interactive sessions.",
    "sessiond",
)
