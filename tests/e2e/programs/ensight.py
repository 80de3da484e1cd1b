"""Stands in for EnSight and for EnVision: an RFB server's greeting, and Python over gRPC as far as pyensight asks.

Run by a Python that has pyensight, with EnSight's own arguments; without ``-grpc_server`` it is EnVision.
"""

import os
import platform
import re
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

OPEN = re.compile(r'open\(r"""(.*?)""", "w"\)\.write\("""(.*)"""\)', re.DOTALL)
RENDER = re.compile(r'ensight\.render\((\d+),(\d+),.*\)\.save\(r"""(.*?)"""\)')
ENDED = threading.Event()


def after(option: str) -> str:
    """Give the word after an option."""
    return sys.argv[sys.argv.index(option) + 1]


def greet(server: socket.socket) -> None:
    """Say to each client what an RFB server says first, then who this is."""
    while True:
        client, _ = server.accept()
        client.sendall(b"RFB 003.008\n" + sys.argv[-1].encode())
        threading.Thread(target=client.recv, args=(1,), daemon=True).start()


def write(path: str, content: bytes) -> None:
    """Write a file where pyensight expects it to be served."""
    with open(path, "wb") as file:
        file.write(content)


def evaluate(command: str) -> str:
    """Do what a command says, if that is more than to ask; the answer is Python source."""
    known = {
        "ensight.version('CEI_HOME')": repr(os.environ["ENSIGHT_HOME"]),
        "ensight.version('suffix')": repr("252"),
        "platform.python_version_tuple()": repr(platform.python_version_tuple()),
    }
    if page := OPEN.fullmatch(command):
        write(page[1], page[2].encode())
    elif picture := RENDER.fullmatch(command):
        # Every byte, many times over: nothing on the way may take any of them for text.
        write(picture[3], f"{picture[1]} x {picture[2]}\n".encode() + bytes(range(256)) * 1000)
    elif command.startswith("ensight.exit"):
        ENDED.set()
    return "{}" if command.startswith("{key:") else known.get(command, "None")


def serve_python(port: int) -> None:
    """Answer commands over gRPC until one says to exit."""
    import grpc
    from ansys.api.pyensight.v0 import ensight_pb2, ensight_pb2_grpc

    servicer = ensight_pb2_grpc.EnSightServiceServicer()  # answers all else with "unimplemented"

    def run(request: Any, context: Any) -> Any:
        return ensight_pb2.PythonReply(error=0, value=evaluate(request.command))

    servicer.RunPython = run
    server = grpc.server(ThreadPoolExecutor(4))
    ensight_pb2_grpc.add_EnSightServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    ENDED.wait()
    server.stop(5).wait()


if __name__ == "__main__":
    # Its launcher throws away what it says; the test shows it, where something goes wrong.
    folder = os.path.dirname(os.path.dirname(os.environ["ENSIGHT_HOME"]))
    os.dup2(os.open(f"{folder}/ensight-{os.getpid()}.err", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 2)
    rfb_port = int(re.findall(r"rfb_port=(\d+)", after("-vnc"))[0])
    listening = socket.create_server(("127.0.0.1", rfb_port))
    threading.Thread(target=greet, args=(listening,), daemon=True).start()
    if "-grpc_server" in sys.argv:
        serve_python(int(after("-grpc_server")))
    else:
        ENDED.wait()
