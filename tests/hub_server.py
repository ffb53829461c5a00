"""A Hugging Face Hub on 127.0.0.1, for tests with the genuine clients; it fails on demand.

It answers what huggingface_hub 2.4 and datasets 5.2 ask with Xet switched off. A subprocess takes
`env=hub.env(home)`; a test that calls our code in its own process takes the fixture `hub_here`.
"""

import asyncio
import base64
import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from huggingface_hub import constants
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

# Nothing listens on the discard port of a test machine: connections are refused at once.
NOWHERE = "http://127.0.0.1:9"
LFS_SUFFIXES = (".safetensors", ".parquet", ".onnx")


@dataclass
class Repo:
    """One repository: commits from old to new, each a mapping of path to blob id."""

    kind: str
    id: str
    private: bool = False
    commits: dict[str, dict[str, str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    @property
    def files(self) -> dict[str, str]:
        return self.commits[self.head]

    def add_commit(self, files: dict[str, str]) -> str:
        state = json.dumps([self.kind, self.id, len(self.commits), files])
        commit = hashlib.sha1(state.encode()).hexdigest()
        self.commits[commit] = files
        return commit

    def commit_of(self, revision: str) -> str:
        commit = {"main": self.head, **self.tags}.get(revision, revision)
        if commit not in self.commits:
            raise refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit


@dataclass
class Store:
    """All repositories; contents lie in `folder` under their blob ids, as git and LFS name them."""

    folder: Path
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)

    def repo(self, repo_id: str, kind: str = "model") -> Repo:
        return self.repos[kind, repo_id]

    def read(self, repo_id: str, path: str, kind: str = "model") -> bytes:
        return (self.folder / self.repo(repo_id, kind).files[path]).read_bytes()

    def add(self, content: bytes, lfs: bool = False) -> str:
        git = hashlib.sha1(f"blob {len(content)}\0".encode() + content)
        blob = (hashlib.sha256(content) if lfs else git).hexdigest()
        (self.folder / blob).write_bytes(content)
        return blob

    def listing(self, files: dict[str, str]) -> list[dict]:
        """Return files and the folders they stand in, as the Hub lists them."""
        folders = {p.as_posix() for path in files for p in Path(path).parents if p != Path(".")}
        listed = [{"type": "directory", "path": path, "oid": "0" * 40} for path in sorted(folders)]
        for path, oid in files.items():
            size = (self.folder / oid).stat().st_size
            entry = {"type": "file", "path": path, "oid": oid, "size": size}
            if path.endswith(LFS_SUFFIXES):
                entry["lfs"] = {"oid": oid, "size": size, "pointerSize": 130}
            listed.append(entry)
        return listed

    def upload(self, repo_id: str, folder: Path, kind: str = "model") -> Repo:
        """Put the files of a folder into a new repository, without HTTP."""
        repo = self.repos[kind, repo_id] = Repo(kind, repo_id)
        files = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            blob = self.add(path.read_bytes(), path.name.endswith(LFS_SUFFIXES))
            files[path.relative_to(folder).as_posix()] = blob
        repo.add_commit(files)
        return repo


def refusal(status: int, message: str, code: str = "") -> HTTPException:
    return HTTPException(status, message, {"X-Error-Message": message, "X-Error-Code": code})


async def refuse(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


@dataclass
class Hub:
    """A running Hub: tests read `store` and `requests`, and set faults with `fail`."""

    url: str
    store: Store
    requests: list[str] = field(default_factory=list)
    faults: list[tuple[str, int | str]] = field(default_factory=list)

    def env(self, home: Path, token: str = "hf_token") -> dict[str, str]:
        """Return the environment of a subprocess that knows only this Hub and caches in `home`."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        return inherited | {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_TOKEN": token,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def fail(self, path: str, how: int | str) -> None:
        """Let the next request whose "METHOD path" the regex matches go wrong.

        `how`: a status is answered; "cut" drops the connection in the middle of the answer, with
        nothing done; "slow" answers after three seconds.
        """
        self.faults.append((path, how))

    async def __call__(self, scope, receive, send) -> None:
        line = f"{scope['method']} {scope['path']}"
        self.requests.append(line)
        fault = next((fault for fault in self.faults if re.search(fault[0], line)), None)
        if fault is not None:
            self.faults.remove(fault)
            _, how = fault
            if how != "slow":
                # A body shorter than announced makes uvicorn drop the connection.
                status, length = (200, "1000") if how == "cut" else (how, "0")
                response = Response(status_code=status, headers={"content-length": length})
                return await response(scope, receive, send)
            await asyncio.sleep(3)
        app = Starlette(routes=self.routes(), exception_handlers={HTTPException: refuse})
        await app(scope, receive, send)

    def routes(self) -> list[Route]:
        repo, post = "/{user}/{name}", ["POST"]
        api, file = "/api/{kinds}" + repo, repo + "/resolve/{rev}/{path:path}"
        lfs = repo + ".git/info/lfs/objects/batch"
        return [
            Route("/api/whoami-v2", self.whoami),
            Route("/api/validate-yaml", self.validate_yaml, methods=post),
            Route("/api/repos/create", self.create_repo, methods=post),
            Route("/lfs/{oid}", self.lfs_put, methods=["PUT"]),
            Route(lfs, self.lfs_batch, methods=post),
            Route("/{kinds}" + lfs, self.lfs_batch, methods=post),
            Route(api, self.info),
            Route(api + "/revision/{rev:path}", self.info),
            Route(api + "/refs", self.refs),
            Route(api + "/tree/{rev}", self.tree),
            Route(api + "/tree/{rev}/{path:path}", self.tree),
            Route(api + "/paths-info/{rev}", self.paths_info, methods=post),
            Route(api + "/preupload/{rev}", self.preupload, methods=post),
            Route(api + "/commit/{rev}", self.commit, methods=post),
            Route(api + "/tag/{rev}", self.create_tag, methods=post),
            Route(api + "/variables", self.set_variable, methods=post),
            Route("/{kinds}" + file, self.resolve),
            Route(file, self.resolve),
        ]

    def find(self, request: Request) -> tuple[Repo, str]:
        """Return the repository and the commit that a request names, or refuse as the Hub does."""
        values, token = request.path_params, "Authorization" in request.headers
        kind = values.get("kinds", "models").removesuffix("s")
        repo = self.store.repos.get((kind, f"{values['user']}/{values['name']}"))
        if repo is None or (repo.private and not token):
            raise refusal(404 if token else 401, "Repository not found", "RepoNotFound")
        return repo, repo.commit_of(values.get("rev", "main"))

    async def whoami(self, request: Request) -> Response:
        return JSONResponse({"type": "user", "name": "user", "orgs": []})

    async def validate_yaml(self, request: Request) -> Response:
        return JSONResponse({"errors": [], "warnings": []})

    async def create_repo(self, request: Request) -> Response:
        body = await request.json()
        kind, repo_id = body.get("type") or "model", f"{body['organization']}/{body['name']}"
        url = f"{self.url}/{'' if kind == 'model' else f'{kind}s/'}{repo_id}"
        if (kind, repo_id) in self.store.repos:
            return JSONResponse({"error": "You already created this repo", "url": url}, 409)
        private = body.get("private") or body.get("visibility") == "private"
        repo = self.store.repos[kind, repo_id] = Repo(kind, repo_id, private)
        repo.add_commit({".gitattributes": self.store.add(b"*.safetensors filter=lfs\n")})
        return JSONResponse({"url": url, "name": repo_id})

    async def preupload(self, request: Request) -> Response:
        repo, oid = self.find(request)
        files = (await request.json())["files"]
        for file in files:
            mode = "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular"
            oid_there = repo.commits[oid].get(file["path"])
            file |= {"oid": oid_there, "uploadMode": mode, "shouldIgnore": False}
        return JSONResponse({"files": files})

    async def lfs_batch(self, request: Request) -> Response:
        """Say where each large file goes that is not there yet."""
        objects = (await request.json())["objects"]
        for item in objects:
            if not (self.store.folder / item["oid"]).exists():
                item["actions"] = {"upload": {"href": f"{self.url}/lfs/{item['oid']}"}}
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def lfs_put(self, request: Request) -> Response:
        self.store.add(await request.body(), lfs=True)
        return Response()

    async def commit(self, request: Request) -> Response:
        repo, _ = self.find(request)
        files = dict(repo.files)
        for item in map(json.loads, (await request.body()).splitlines()):
            value = item["value"]
            if item["key"] == "header" and value.get("parentCommit", repo.head) != repo.head:
                raise refusal(412, "A commit has happened since. Please refresh and try again.")
            if item["key"] == "file":
                files[value["path"]] = self.store.add(base64.b64decode(value["content"]))
            elif item["key"] == "lfsFile":
                files[value["path"]] = value["oid"]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        oid = repo.add_commit(files)
        return JSONResponse({"commitOid": oid, "commitUrl": f"{self.url}/{repo.id}/commit/{oid}"})

    async def create_tag(self, request: Request) -> Response:
        repo, oid = self.find(request)
        repo.tags[(await request.json())["tag"]] = oid
        return JSONResponse({})

    async def refs(self, request: Request) -> Response:
        repo, head = self.find(request)
        branches, tags = (
            [{"name": name, "ref": name, "targetCommit": oid} for name, oid in refs.items()]
            for refs in ({"main": head}, repo.tags)
        )
        return JSONResponse({"branches": branches, "tags": tags, "converts": []})

    async def info(self, request: Request) -> Response:
        repo, oid = self.find(request)
        answer = {"id": repo.id, "sha": oid, "private": repo.private, "tags": []}
        answer["siblings"] = [{"rfilename": path} for path in repo.commits[oid]]
        if repo.kind == "model":
            answer |= {"pipeline_tag": "image-classification", "library_name": "timm"}
        return JSONResponse(answer)

    async def tree(self, request: Request) -> Response:
        repo, oid = self.find(request)
        folder = Path(request.path_params.get("path", ""))
        deep = request.query_params.get("recursive", "").lower() == "true"
        inside = [
            entry
            for entry in self.store.listing(repo.commits[oid])
            if folder == (parent := Path(entry["path"]).parent)
            or (deep and folder in parent.parents)
        ]
        if not inside and folder != Path("."):
            raise refusal(404, f"{folder} does not exist", "EntryNotFound")
        return JSONResponse(inside)

    async def paths_info(self, request: Request) -> Response:
        repo, oid = self.find(request)
        wanted = (await request.form()).getlist("paths")
        listed = self.store.listing(repo.commits[oid])
        return JSONResponse([entry for entry in listed if entry["path"] in wanted])

    async def set_variable(self, request: Request) -> Response:
        body = await request.json()
        self.find(request)[0].variables[body["key"]] = body["value"]
        return JSONResponse({})

    async def resolve(self, request: Request) -> Response:
        """Serve a file, whole or a Range of it; a missing one still names the commit."""
        repo, oid = self.find(request)
        blob = repo.commits[oid].get(request.path_params["path"])
        if blob is None:
            missing = refusal(404, "Entry not found", "EntryNotFound")
            missing.headers["X-Repo-Commit"] = oid
            raise missing
        headers = {"X-Repo-Commit": oid, "ETag": f'"{blob}"'}
        return FileResponse(self.store.folder / blob, headers=headers)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """An empty Hub, for clients in subprocesses: `env=hub.env(tmp_path / "home")`."""
    (tmp_path / "hub").mkdir()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        running = Hub(url, Store(tmp_path / "hub"))
        options = {"log_level": "critical", "lifespan": "off", "timeout_graceful_shutdown": 1}
        server = uvicorn.Server(uvicorn.Config(running, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield running
        server.should_exit = True
        thread.join()


@pytest.fixture
def hub_here(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The same for this process's huggingface_hub, with a token and a new cache."""
    point_to(hub.url, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", "hf_token")
    return hub


@pytest.fixture
def unplug(hub_here: Hub, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function after whose call this process cannot reach the Hub any more."""

    def unplug() -> None:
        point_to(NOWHERE, monkeypatch)
        # huggingface_hub tries a first download six times over 23 seconds.
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)

    return unplug


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process's huggingface_hub talk to the Hub at `url`."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
