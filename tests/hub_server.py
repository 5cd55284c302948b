"""A hub on 127.0.0.1: serves folders as model and data set repositories, in the layout that huggingface_hub and datasets ask for."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BRANCH = "main"
LARGE = (".bin", ".gz", ".model", ".safetensors")
"""Endings of the files that the hub keeps on a storage host of its own and redirects to."""


@dataclass(frozen=True)
class Repository:
    """A folder at one commit; the branch `main` points to it."""

    kind: str
    """`models` or `datasets`."""
    name: str
    commit: str
    folder: Path

    def paths(self) -> list[str]:
        """Files and folders."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))

    def entry(self, path: str) -> dict[str, Any]:
        """A file or folder as the hub's API describes it."""
        file = self.folder / path
        entry: dict[str, Any] = {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}
        if file.is_file():
            data = file.read_bytes()
            entry |= {"type": "file", "oid": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(), "size": len(data)}
            if path.endswith(LARGE):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        return entry


class Hub:
    """The server, up as long as its `with` block lasts.

    `url` is what HF_ENDPOINT is to be; `hosts` are the hub's own and that of its storage; `requests` counts what they were asked, by
    method and path.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: Counter[str] = Counter()
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), _Handler) for _ in range(2)]
        for server in self._servers:
            server.daemon_threads = True
            server.hub = self  # type: ignore[attr-defined]
        self.hosts = [f"127.0.0.1:{server.server_address[1]}" for server in self._servers]
        self.url, self.storage_url = (f"http://{host}" for host in self.hosts)

    def add(self, kind: str, name: str, commit: str, folder: Path) -> Repository:
        """Serve a folder as a repository."""
        repository = self.repositories[kind, name] = Repository(kind, name, commit, folder)
        return repository

    def __enter__(self) -> "Hub":
        for server in self._servers:
            Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Refusal(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests read `Hub.requests`."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        self._recursive = parse_qs(url.query).get("recursive", [""])[0].lower() == "true"
        self._hub: Hub = self.server.hub  # type: ignore[attr-defined]
        self._hub.requests[f"{self.command} {unquote(url.path)}"] += 1
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        try:
            if parts[0] == "api" and len(parts) >= 4:
                self._api(*parts[1:])
            elif parts[0] == "large":
                self._large(parts[1])
            elif parts[0] == "datasets":
                self._resolve("datasets", *parts[1:])
            else:
                self._resolve("models", *parts)
        except _Refusal as refusal:
            headers = {"X-Error-Message": refusal.message} | ({"X-Error-Code": refusal.code} if refusal.code else {})
            self._send(refusal.status, json.dumps({"error": refusal.message}).encode(), headers)

    def _api(self, kind: str, owner: str, name: str, what: str = "revision", revision: str = BRANCH, *path: str) -> None:
        """What a repository holds."""
        repository = self._repository(kind, owner, name, revision)
        paths = repository.paths()
        content: Any
        if what == "revision":
            content = {
                "id": repository.name,
                "sha": repository.commit,
                "private": False,
                "gated": False,
                "tags": [],
                "siblings": [{"rfilename": path} for path in paths if (repository.folder / path).is_file()],
            }
        elif what == "tree":
            below = "/".join(path)
            if below and not (repository.folder / below).is_dir():
                raise _Refusal(404, "EntryNotFound", f"{below} does not exist on {revision}")
            inside = [path for path in paths if path.startswith(f"{below}/" if below else "")]
            if not self._recursive:
                inside = [path for path in inside if path.count("/") == (below.count("/") + 1 if below else 0)]
            content = [repository.entry(path) for path in inside]
        else:
            raise _Refusal(404, "", f"this hub knows no {what}")
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _resolve(self, kind: str, owner: str = "", name: str = "", what: str = "", revision: str = "", *path: str) -> None:
        """A file: itself, or the way to it."""
        if what != "resolve":
            raise _Refusal(404, "", "no such page")
        repository = self._repository(kind, owner, name, revision)
        file = repository.folder.joinpath(*path)
        headers = {"X-Repo-Commit": repository.commit}
        if not file.is_file():
            raise _Refusal(404, "EntryNotFound", "Entry not found")
        entry = repository.entry("/".join(path))
        if "lfs" in entry:
            sha256 = entry["lfs"]["oid"]
            headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(entry["size"])}
            self._send(302, b"Found", headers | {"Location": f"{self._hub.storage_url}/large/{sha256}"})
        else:
            self._send(200, file.read_bytes(), headers | {"ETag": f'"{entry["oid"]}"'})

    def _large(self, sha256: str) -> None:
        for repository in self._hub.repositories.values():
            for path in repository.paths():
                if path.endswith(LARGE) and repository.entry(path)["lfs"]["oid"] == sha256:
                    self._send(200, (repository.folder / path).read_bytes(), {"ETag": f'"{sha256}"'})
                    return
        raise _Refusal(404, "", "no such file")

    def _repository(self, kind: str, owner: str, name: str, revision: str) -> Repository:
        repository = self._hub.repositories.get((kind, f"{owner}/{name}"))
        if repository is None:  # the hub does not tell a missing repository from a private one
            raise _Refusal(401, "RepoNotFound", "Repository not found")
        if revision not in (BRANCH, repository.commit):
            raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/octet-stream", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
