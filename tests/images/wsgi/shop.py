import os
import re
import time
from urllib.parse import parse_qs

VERSION = os.environ["VERSION"]
IDS = "/data/ids"
# The bytes 0, 1, … 255, over and over.
MEBIBYTE = bytes(range(256)) * 4096


def application(environ, start_response):
    path, query = environ["PATH_INFO"], parse_qs(environ["QUERY_STRING"])

    def number(name, usual):
        return int(query.get(name, [usual])[0])

    def headers(kind, length):
        return [
            ("Content-Type", kind),
            ("Content-Length", str(length)),
            ("X-Version", VERSION),
            ("Cache-Control", "no-store"),
        ]

    def answer(status, text):
        body = f"{text}\n".encode()
        start_response(status, headers("text/plain; charset=utf-8", len(body)))
        return [body]

    if path == "/":
        return answer("200 OK", f"Hello from {VERSION}")
    if path in ("/up", "/version"):
        return answer("200 OK", VERSION)
    if path == "/slow":
        time.sleep(number("ms", 2000) / 1000)
        return answer("200 OK", f"{VERSION} is done")
    if path == "/download":
        mb = number("mb", 20)
        start_response("200 OK", headers("application/octet-stream", mb * len(MEBIBYTE)))
        return (MEBIBYTE for _ in range(mb))
    if path == "/echo":
        return answer(*recorded(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()))
    if path == "/ids":
        return answer("200 OK", read_ids())
    return answer("404 Not Found", f"no {path} here")


def recorded(posted):
    if not re.fullmatch(r"[\w.:-]{1,200}", posted):
        return "400 Bad Request", "the body is an id"
    # Both versions write to one file: a line that is appended at once is never torn.
    with open(IDS, "a") as file:
        file.write(f"{posted}\n")
    return "200 OK", posted


def read_ids():
    if not os.path.exists(IDS):
        return ""
    with open(IDS) as file:
        return file.read().rstrip()
