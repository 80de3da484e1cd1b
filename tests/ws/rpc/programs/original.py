"""A server application of wslink's own package, as its users write them: ``original.py --port N --authKey SECRET``."""

import argparse
from importlib import import_module
from typing import Any

# By its name: it is not there where types are checked.
wslink: Any = import_module("wslink")
server: Any = import_module("wslink.server")
websocket: Any = import_module("wslink.websocket")


class Tried(websocket.LinkProtocol):  # type: ignore[misc]
    """Methods."""

    @wslink.register("t.add")  # type: ignore[untyped-decorator]
    def add(self, numbers: list[int]) -> int:
        """Sum."""
        return sum(numbers)


class Application(websocket.ServerProtocol):  # type: ignore[misc]
    """The application."""

    authKey = ""

    def initialize(self) -> None:
        """Offer them."""
        self.registerLinkProtocol(Tried())
        self.updateSecret(self.authKey)


def main() -> None:
    """Serve until nobody is connected for a while."""
    parser = argparse.ArgumentParser()
    server.add_arguments(parser)
    options = parser.parse_args()
    Application.authKey = options.authKey
    server.start_webserver(options=options, protocol=Application)


if __name__ == "__main__":
    main()
