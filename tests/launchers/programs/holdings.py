"""Prints its descriptors, its environment's names and its folder, and ends."""

import json
import os
import sys

found = {
    "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")),
    "environment": dict(os.environ),
    "folder": os.getcwd(),
    "session": os.getsid(0) == os.getpid() == os.getpgrp(),
    "input": os.readlink("/proc/self/fd/0"),
    "arguments": sys.argv[1:],
    "user": [os.getuid(), os.getgid()],
    "groups": os.getgroups(),
    "limit": __import__("resource").getrlimit(__import__("resource").RLIMIT_NOFILE),
}
sys.stdout.write(json.dumps(found) + "\n")
