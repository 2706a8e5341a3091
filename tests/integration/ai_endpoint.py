"""An AI endpoint of our own that can be made to wait: a task caught in the middle of its work."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class AiEndpoint(ThreadingHTTPServer):
    """Answers chat completions; while held it keeps the caller waiting, which is a task caught in the middle."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.asked = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()
        self.requests = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.server.requests += 1
            self.server.asked.release()
            self.server.open.wait(60)
            choice = {"message": {"role": "assistant", "content": "A picture."}, "finish_reason": "stop"}
            body = json.dumps({"model": "test-1", "choices": [choice]}).encode()
            with contextlib.suppress(OSError):  # the caller was killed meanwhile
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *args):
            pass

    @contextlib.contextmanager
    def held(self):
        self.open.clear()
        while self.asked.acquire(blocking=False):
            pass
        try:
            yield
        finally:
            self.open.set()


@contextlib.contextmanager
def serving():
    """An endpoint in a thread of its own; callers still held are let go at the end."""
    with AiEndpoint() as endpoint:
        thread = threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield endpoint
        endpoint.open.set()
        endpoint.shutdown()
        thread.join(10)
