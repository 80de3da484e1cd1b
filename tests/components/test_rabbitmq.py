"""The node that tests start is as they need it."""

import socket
from pathlib import Path

from tests.components.rabbitmq import RabbitMQ
from tests.reactor import within


def listening(pids: set[int]) -> set[str]:
    """Give the addresses on which some processes listen, as the kernel writes them."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = str(link.readlink()) if link.is_symlink() else ""
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                found.add(words[1].partition(":")[0])
    return found


@within(120)
async def test_node(rabbitmq: RabbitMQ) -> None:
    """It listens on loopback alone, is asked by its own commands, and comes again after it was killed."""
    assert rabbitmq._node is not None
    loopback = {"0100007F", "0" * 24 + "01000000"}
    assert listening({rabbitmq._node.pid, rabbitmq._mapper.pid}) <= loopback
    await rabbitmq.ctl("await_startup")
    rabbitmq.kill()
    assert not rabbitmq.answers
    rabbitmq.spawn()
    await rabbitmq.come()
    with socket.create_connection(("127.0.0.1", rabbitmq.port), 5):
        pass
    await rabbitmq.ctl("status")
