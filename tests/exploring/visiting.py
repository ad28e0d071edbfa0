"""Somebody who asks the page's server, with any headers."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Visitor:
    """Somebody who asks the server: with what a browser would send, unless told otherwise."""

    address: str
    cookie: str | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    def ask(
        self, path: str, body: Any = None, method: str | None = None, **headers: str | None
    ) -> Answer:
        """A header of None is left out."""
        sent = {"Host": self.host, "Cookie": self.cookie}
        if body is not None:
            sent |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.putrequest(
                method or ("GET" if body is None else "POST"), path, skip_host=True
            )
            if data is not None and "Content-Length" not in sent:
                sent["Content-Length"] = str(len(data))
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(data)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def let_in(self) -> "Visitor":
        """Opens the printed address."""
        parts = urlsplit(self.address)
        answer = self.ask(f"{parts.path}?{parts.query}")
        assert answer.status == 200
        return Visitor(self.address, answer.headers["set-cookie"].partition(";")[0])
