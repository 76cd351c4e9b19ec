"""A small HTTP service that answers its version, and misbehaves where it is told to.

    app.py ADDRESS:PORT | SOCKET-PATH

    GET  /              {"version": ..., "pid": ...}
    GET  /health        200 once it is ready, else 503
    GET  /slow?SECONDS  the same as / after that time
    POST /echo          the body

Environment:
    TINY_VERSION        what it answers
    TINY_EXIT=N         exits with status N at the start
    TINY_START=SECONDS  listens only after that time
    TINY_UNHEALTHY=1    /health never answers 200
    TINY_CRASH=SECONDS  dies with status 70 after that time
    TINY_IGNORE_TERM=1  does not end on SIGTERM
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

WHO = {"version": os.environ.get("TINY_VERSION", "unknown"), "pid": os.getpid()}

busy = 0
busy_changed = threading.Condition()
ending = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/health":
            healthy = os.environ.get("TINY_UNHEALTHY") != "1"
            return self.answer(200 if healthy else 503, WHO)
        if url.path == "/slow":
            time.sleep(float(url.query or 1))
        self.answer(200, WHO)

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        self.answer(200, self.rfile.read(length))

    def handle_one_request(self):
        """Like the base class, but counts the request from its first byte to its answer's last."""
        if not self.rfile.peek(1):
            self.close_connection = True
            return
        count(1)
        try:
            super().handle_one_request()
        finally:
            count(-1)

    def answer(self, status, body):
        body = body if isinstance(body, bytes) else (json.dumps(body) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if ending.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that went away is nobody's error."""


class UnixServer(Server):
    address_family = socket.AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0


def count(change):
    global busy
    with busy_changed:
        busy += change
        busy_changed.notify_all()


def serve(address):
    if "/" in address:
        return UnixServer(address, Handler)
    Handler.disable_nagle_algorithm = True
    host, port = address.rsplit(":", 1)
    return Server((host, int(port)), Handler)


def end(server):
    """Accepts nothing more, finishes what was begun, goes."""
    ending.set()
    server.shutdown()
    with busy_changed:
        busy_changed.wait_for(lambda: busy == 0)
    print("tiny: ended", file=sys.stderr, flush=True)
    os._exit(0)


def after(seconds, action, *arguments):
    timer = threading.Timer(seconds, action, arguments)
    timer.daemon = True
    timer.start()


def main():
    if "TINY_EXIT" in os.environ:
        sys.exit(int(os.environ["TINY_EXIT"]))
    time.sleep(float(os.environ.get("TINY_START", 0)))
    server = serve(sys.argv[1])
    ignore = os.environ.get("TINY_IGNORE_TERM") == "1"
    signal.signal(signal.SIGTERM, signal.SIG_IGN if ignore else lambda *_: after(0, end, server))
    if "TINY_CRASH" in os.environ:
        after(float(os.environ["TINY_CRASH"]), os._exit, 70)
    print(f"tiny: {WHO['version']} on {sys.argv[1]}", file=sys.stderr, flush=True)
    server.serve_forever(poll_interval=0.05)
    # `end` stopped the server and ends the process when the last request is answered.
    threading.Event().wait()


main()
