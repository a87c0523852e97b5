"""The process that serves: a socket, a server, and an orderly end."""

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from sameplace.errors import SameplaceError
from sameplace.service.app import application
from sameplace.service.service import Service

SECONDS_TO_FINISH = 30
IDLE_SECONDS = 30
BACKLOG = 1024


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address, port 0 for any free one; SameplaceError where that cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SameplaceError(
            f"The service cannot listen at {host} port {port} ({error.strerror or error}); choose another --port or --host."
        ) from None


def address(listening: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """Serve in a thread of this process for as long as a block lasts, at a free port of this machine; gives the address."""
    listening = bound("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(application(service), log_level="critical", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield address(listening)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def serve(service: Service, listening: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until the process is told to stop (Ctrl-C, or a polite kill); what was begun is finished then."""
    config = uvicorn.Config(
        application(service),
        access_log=False,
        log_level="warning",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
        timeout_keep_alive=IDLE_SECONDS,
    )
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # broken forms are their senders' news, not ours
    # The server gives a signal on when it has finished; then both kinds mean the same.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ready()
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
