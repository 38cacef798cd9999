"""Pages: the files of the web board, read once when the daemon starts.

A request names one of them or none: no path that a client says ever reaches the disk.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page")
INDEX = "index.html"
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


class Pages:
    """The files below a folder, by address; others than of the known types are left out.

    Attributes:
        addresses: Where they are: `/` and `/<path>`.
    """

    def __init__(self, folder: str = FOLDER) -> None:
        self._files = {f"/{name}": file for name, file in sorted(_files(folder))}
        if index := self._files.get(f"/{INDEX}"):
            self._files["/"] = index
        self.addresses = tuple(self._files)

    def routes(self) -> list[Route]:
        """One for each address."""
        return [Route(address, self._serve, methods=["GET"]) for address in self.addresses]

    async def _serve(self, request: Request) -> Response:
        data, media_type = self._files[request.url.path]
        return Response(data, media_type=media_type)


def _files(folder: str) -> list[tuple[str, tuple[bytes, str]]]:
    found = []
    for at, _, names in os.walk(folder):
        for name in names:
            media_type = TYPES.get(os.path.splitext(name)[1])
            if media_type is not None:
                path = os.path.join(at, name)
                with open(path, "rb") as file:
                    found.append((os.path.relpath(path, folder).replace(os.sep, "/"), (file.read(), media_type)))
    return found
