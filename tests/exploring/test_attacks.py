"""The page is closed: to other hosts, other pages, who has no token, and to whom would fill the
memory or keep the machine busy.
"""

import socket
import struct
import threading
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from visiting import Visitor

from stellar.exploring import Finder, Server, Workbench, app
from stellar.exploring.turns import MOST_WAITING

EVERYTHING = ("/", "/page/main.js", "/api/start", "/api/pictures", "/api/pictures/3/view", "/x")


@pytest.mark.parametrize("path", EVERYTHING)
@pytest.mark.parametrize("cookie", [None, "stellar-x=y", "a=b; c"])
def test_without_the_token_nothing_is_told(address: str, path: str, cookie: str | None) -> None:
    answer = Visitor(address).ask(path, Cookie=cookie)
    assert answer.status == 403
    assert b"Open the whole address that stellar explore printed" in answer.data
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("token", ["", "x", "%F0%9F%98%80", "A" * 10_000])
def test_a_wrong_token_opens_nothing(address: str, token: str) -> None:
    answer = Visitor(address).ask(f"/?token={token}")
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_the_token_opens_the_page_alone(address: str) -> None:
    token = address.partition("token=")[2]
    assert Visitor(address).ask(f"/api/start?token={token}").status == 403


def test_the_token_is_new_each_time_and_long(finder: Finder) -> None:
    servers = [Server(finder, 0) for _ in range(3)]
    tokens = {server.address.partition("token=")[2] for server in servers}
    assert len(tokens) == 3
    assert all(len(token) >= 43 for token in tokens)
    for server in servers:
        server._socket.close()


@pytest.mark.parametrize(
    "host",
    [None, "evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example",
     "0.0.0.0", "[::1]"],
)  # fmt: skip
def test_another_host_is_refused_even_with_the_cookie(visitor: Visitor, host: str | None) -> None:
    """As after DNS rebinding, where a name of an attacker leads here."""
    answer = visitor.ask("/api/start", Host=host)
    assert answer.status in (400, 403)
    assert b"stellar-scenes" not in answer.data


def test_localhost_is_this_machine_too(visitor: Visitor) -> None:
    host = f"localhost:{visitor.host.partition(':')[2]}"
    assert visitor.ask("/api/start", Host=host).status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1", None]
)
def test_another_origin_is_refused_even_with_the_cookie(
    visitor: Visitor, origin: str | None
) -> None:
    assert visitor.ask("/api/look", {"picture": "3"}).status == 200
    assert visitor.ask("/api/look", {"picture": "3"}, Origin=origin).status == 403


def test_what_another_site_embeds_is_refused(visitor: Visitor) -> None:
    for site in ("cross-site", "same-site"):
        assert visitor.ask("/api/pictures/3/view", Sec_Fetch_Site=site).status == 403
    assert visitor.ask("/api/pictures/3/view", Sec_Fetch_Site="same-origin").status == 200


def test_every_answer_has_its_headers(address: str, visitor: Visitor) -> None:
    for who in (Visitor(address), visitor):
        for path in EVERYTHING:
            headers = who.ask(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "access-control-allow-origin" not in headers
            assert "server" not in headers


def test_the_cookie_is_for_this_server_alone(address: str) -> None:
    path = address.partition("/?")[2]
    cookie = Visitor(address).ask(f"/?{path}").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Domain" not in cookie


def test_the_cookie_is_not_the_token(address: str, visitor: Visitor) -> None:
    """Servers of other ports are sent the cookie: it must not open the page for whoever has it."""
    assert visitor.cookie is not None
    secret = visitor.cookie.partition("=")[2]
    assert secret not in address
    assert Visitor(address).ask(f"/?token={secret}").status == 403


def test_it_listens_on_this_machine_alone(address: str) -> None:
    port = int(address.partition("127.0.0.1:")[2].partition("/")[0])
    own = socket.gethostbyname(socket.gethostname())
    if own.startswith("127."):
        pytest.skip("this machine has no address but its own")
    with pytest.raises(ConnectionError), socket.create_connection((own, port), timeout=5):
        pass


def test_a_hundred_megabytes_are_not_taken(visitor: Visitor) -> None:
    """Neither where they are announced, nor where they come without a word."""
    answer = visitor.ask("/api/bring", b"x", Content_Length=str(100 << 20))
    assert answer.status == 413
    assert "at most 32 MB" in answer.json["error"]
    host, port = visitor.host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        lines = [
            "POST /api/bring HTTP/1.1", f"Host: {visitor.host}", f"Origin: http://{visitor.host}",
            f"Cookie: {visitor.cookie}", "Transfer-Encoding: chunked", "", "",
        ]  # fmt: skip
        connection.sendall("\r\n".join(lines).encode())
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        sent = 0
        try:
            while sent < 100:
                connection.sendall(chunk)
                sent += 1
        except OSError:  # it does not even listen any more
            pass
        assert sent < 100 or b" 413 " in connection.recv(100)
    assert visitor.ask("/api/start").status == 200


def bomb(width: int, height: int) -> bytes:
    """A small PNG that says that it holds far more."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 24), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("size", "message"),
    [((50_000, 50_000), "decompression bomb"), ((12_000, 10_000), "pixels are more than 100 mill")],
)
def test_a_bomb_is_not_decoded(visitor: Visitor, size: tuple[int, int], message: str) -> None:
    answer = visitor.ask("/api/bring?name=bomb.png", bomb(*size))
    assert answer.status == 422
    assert message in answer.json["error"]


@pytest.mark.parametrize("name", ["..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "..", "3%2F..%2F4"])
def test_a_path_in_the_place_of_a_key_is_none(visitor: Visitor, name: str) -> None:
    for what in ("view", "thumbnail", "input"):
        assert visitor.ask(f"/api/pictures/{name}/{what}").status == 404
    assert visitor.ask("/api/look", {"picture": "/etc/passwd"}).status == 404


def test_who_hangs_up_in_the_middle_is_no_error(
    visitor: Visitor, capfd: pytest.CaptureFixture[str]
) -> None:
    host, port = visitor.host.split(":")
    for _ in range(3):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            lines = [
                "POST /api/bring HTTP/1.1", f"Host: {visitor.host}",
                f"Origin: http://{visitor.host}", f"Cookie: {visitor.cookie}",
                "Content-Length: 1000", "", "some",
            ]  # fmt: skip
            connection.sendall("\r\n".join(lines).encode())
    assert visitor.ask("/api/start").status == 200
    assert "Traceback" not in capfd.readouterr().err


def test_two_hundred_at_once_do_not_end_it(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at a time does the work, some wait, the others are told to come back."""
    at_work, most = 0, 0
    lock, look = threading.Lock(), Workbench.look

    def counted(*arguments):
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        try:
            return look(*arguments)
        finally:
            with lock:
                at_work -= 1

    monkeypatch.setattr(Workbench, "look", counted)
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: visitor.ask("/api/look", {"picture": "3"}), range(200)))
    statuses = Counter(answer.status for answer in answers)
    assert statuses.keys() <= {200, 503}
    assert statuses[200] >= MOST_WAITING
    assert most == 1
    for answer in answers:
        if answer.status == 503:
            assert answer.headers["retry-after"] == "1"
    assert visitor.ask("/api/look", {"picture": "3"}).status == 200


def test_a_question_is_limited(visitor: Visitor) -> None:
    answer = visitor.ask("/api/look", b" " * (app.LARGEST_QUESTION + 1))
    assert answer.status == 413
