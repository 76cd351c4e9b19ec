"""A small HTTP service that answers its version, and misbehaves where it is told to.

    app.py ADDRESS:PORT | SOCKET-PATH

    GET  /              {"version": ..., "pid": ...}
    GET  /health        200 once it is ready, else 503
    GET  /slow?SECONDS  the same as / after that time
    GET  /download?N    N bytes over a second or so, with their length; ?N,chunked without
    GET  /say?TEXT      the same as /, with TEXT as a line of its output before
    GET  /config        the text of the file that TINY_CONFIG names
    POST /echo          the body
    POST /upload        how many bytes came and their sum; with a length or chunked
    GET  /socket        a WebSocket that echoes; ends with 1001 when the service does

Environment:
    TINY_VERSION        what it answers
    TINY_CONFIG=PATH    a file that it reads at the start; exits where that holds `broken`
    TINY_EXIT=N         exits with status N at the start
    TINY_START=SECONDS  listens only after that time
    TINY_UNHEALTHY=1    /health never answers 200
    TINY_CRASH=SECONDS  dies with status 70 after that time
    TINY_IGNORE_TERM=1  does not end on SIGTERM
"""

import base64
import hashlib
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
CONFIG = b""
if "TINY_CONFIG" in os.environ:
    with open(os.environ["TINY_CONFIG"], "rb") as file:
        CONFIG = file.read()
    if b"broken" in CONFIG:
        sys.exit("tiny: the configuration is broken")

PIECE = 64 * 1024

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
        if url.path == "/config":
            return self.answer(200, CONFIG)
        if url.path == "/say":
            print(url.query, flush=True)
        if url.path == "/slow":
            time.sleep(float(url.query or 1))
        if url.path == "/download":
            size, _, chunked = url.query.partition(",")
            return self.download(int(size), chunked == "chunked")
        if url.path == "/socket":
            return self.socket()
        self.answer(200, WHO)

    def do_POST(self):
        pieces = self.chunks() if "Transfer-Encoding" in self.headers else self.counted()
        if urlsplit(self.path).path != "/upload":
            return self.answer(200, b"".join(pieces))
        size, total = 0, 0
        for piece in pieces:
            size, total = size + len(piece), total + sum(piece)
        self.answer(200, WHO | {"bytes": size, "sum": total})

    def counted(self):
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read1(min(left, PIECE))
            if not piece:
                raise ConnectionError("the body broke off")
            left -= len(piece)
            yield piece

    def chunks(self):
        while size := int(self.rfile.readline(), 16):
            piece = self.rfile.read(size)
            if len(piece) < size or self.rfile.readline() != b"\r\n":
                raise ConnectionError("the body broke off")
            yield piece
        self.rfile.readline()

    def download(self, size, chunked):
        self.send_response(200)
        name, value = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(size))
        self.send_header(name, value)
        self.end_headers()
        piece = max(1, size // 20)
        for start in range(0, size, piece):
            body = bytes(i % 251 for i in range(start, min(start + piece, size)))
            self.wfile.write(b"%x\r\n%b\r\n" % (len(body), body) if chunked else body)
            time.sleep(0.05)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def socket(self):
        """RFC 6455, as far as short frames go."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.close_connection = True
        threading.Thread(target=self.part, daemon=True).start()
        while len(head := self.rfile.read(2)) == 2:
            mask, body = self.rfile.read(4), self.rfile.read(head[1] & 127)
            body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(body))
            self.wfile.write(bytes([head[0], len(body)]) + body)
            if head[0] & 15 == 8:
                return

    def part(self):
        ending.wait()
        self.wfile.write(b"\x88\x02\x03\xe9")
        self.connection.shutdown(socket.SHUT_RD)

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
