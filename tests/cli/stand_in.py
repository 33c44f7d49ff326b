"""A service that answers what a test tells it to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROJECT = "0123456789abcdef0123456789abcdef"
ID = "aaaaaaaa-1111-2222-3333-444444444444"
RUNNING = {
    "instance_id": ID, "name": "sessions", "status": "RUNNING", "spec_code": "redis.ha.xu1.tiny.r2.128",
    "engine_version": "7.0", "ip": "127.64.0.10", "port": 6379,
}  # fmt: skip


class Service:
    """Answers by method and path: a status with a body (and headers), or a list of them, one for each call."""

    def __init__(self):
        self.answers = {("POST", "/v3/auth/tokens"): (201, {"token": {}})}
        self.requests = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                service.requests.append(
                    (self.command, path, query, json.loads(body) if body else None, self.headers)
                )
                found = service.answers.get(
                    (self.command, path.replace(f"/v2/{PROJECT}", "")),
                    (404, {"error_code": "DCS.4001", "error_msg": "The requested URL does not exist."}),
                )
                if isinstance(found, list):
                    found = found.pop(0) if len(found) > 1 else found[0]
                status, content, *more = found
                text = (
                    content
                    if isinstance(content, bytes)
                    else b""
                    if content is None
                    else json.dumps(content).encode()
                )
                self.send_response(status)
                self.send_header("X-Subject-Token", "the-token")
                self.send_header("X-Request-Id", "request-1")
                self.send_header("Content-Length", str(len(text)))
                for name, value in more[0].items() if more else ():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the server's names

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def sent(self, method, path):
        return [body for seen, at, _, body, _ in self.requests if (seen, at) == (method, f"/v2/{PROJECT}{path}")]
