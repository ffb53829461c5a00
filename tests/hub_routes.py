"""What the test Hub answers: repositories in memory and the routes of the Hub's HTTP API.

Served by `hub_server.py`, which also holds the fixtures. The facts behind each answer come from
the requests of huggingface_hub 2.4 and datasets 5.2.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

WRITE_TOKEN = "hf_write"
READ_TOKEN = "hf_read"
USER = "user"  # both tokens are theirs; writing under another name is forbidden


@dataclass
class Repo:
    """One repository: commits from old to new, each a mapping of path to git blob id."""

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
    """All repositories; file contents lie in `folder` under their git blob ids."""

    url: str
    folder: Path
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)

    def repo(self, repo_id: str, kind: str = "model") -> Repo:
        return self.repos[kind, repo_id]

    def read(self, repo_id: str, path: str, kind: str = "model") -> bytes:
        return (self.folder / self.repo(repo_id, kind).files[path]).read_bytes()

    def add(self, content: bytes) -> str:
        blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        (self.folder / blob).write_bytes(content)
        return blob

    def upload(self, repo_id: str, folder: Path, kind: str = "model") -> Repo:
        """Put the files of a folder into a new repository, without HTTP."""
        repo = self.repos[kind, repo_id] = Repo(kind, repo_id)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        repo.add_commit({p.relative_to(folder).as_posix(): self.add(p.read_bytes()) for p in paths})
        return repo


def refusal(status: int, message: str, code: str = "") -> HTTPException:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return HTTPException(status, message, headers)


async def refuse(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def token_of(request: Request) -> str | None:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    if token and token not in (WRITE_TOKEN, READ_TOKEN):
        raise refusal(401, "Invalid credentials in Authorization header")
    return token or None


def check_may_write(request: Request, namespace: str) -> None:
    token = token_of(request)
    if token is None:
        raise refusal(401, "Invalid username or password.")
    if token != WRITE_TOKEN or namespace != USER:
        raise refusal(403, f"You don't have the rights to write under the namespace {namespace!r}")


def find_repo(request: Request, write: bool = False) -> Repo:
    """Return the repository that the request's path names, or refuse as the Hub does."""
    values = request.path_params
    kind = values.get("kinds", "models").removesuffix("s")
    repo = request.app.state.store.repos.get((kind, f"{values['user']}/{values['name']}"))
    token = token_of(request)
    if repo is None or (repo.private and token is None):
        raise refusal(404 if token else 401, "Repository not found", "RepoNotFound")
    if write:
        check_may_write(request, values["user"])
    return repo


async def whoami(request: Request) -> Response:
    if token_of(request) is None:
        raise refusal(401, "Invalid username or password.")
    return JSONResponse({"type": "user", "name": USER, "orgs": []})


async def validate_yaml(request: Request) -> Response:
    """The Hub's checks that a card of ours could fail: front matter, licence, model-index."""
    body = await request.json()
    block = re.match(r"---\n(.*?)\n---\n", body["content"], re.DOTALL)
    errors = []
    try:
        metadata = yaml.safe_load(block[1]) if block else {}
    except yaml.YAMLError as error:
        metadata, errors = {}, [f"the front matter is not YAML: {error}"]
    if metadata.get("license") == "other" and not metadata.get("license_name"):
        errors.append('"license_name" is required when "license" is "other"')
    if body["repoType"] == "space" and not errors and metadata.get("sdk") != "gradio":
        errors.append('"sdk" is required')
    for model in metadata.get("model-index", []):
        for result in model["results"]:
            parts = [result["task"], result["dataset"], *result["metrics"]]
            if not all(part.get("type") for part in parts) or "name" not in result["dataset"]:
                errors.append('"model-index" needs types for task, dataset and metrics')
    warnings = [] if block else [{"message": "empty or missing yaml metadata in repo card"}]
    answer = {"errors": [{"message": text} for text in errors], "warnings": warnings}
    return JSONResponse(answer, 400 if errors else 200)


async def create_repo(request: Request) -> Response:
    store, body = request.app.state.store, await request.json()
    namespace, kind = body.get("organization") or USER, body.get("type") or "model"
    check_may_write(request, namespace)
    repo_id = f"{namespace}/{body['name']}"
    url = f"{store.url}/{'' if kind == 'model' else f'{kind}s/'}{repo_id}"
    if (kind, repo_id) in store.repos:
        return JSONResponse({"error": "You already created this repo", "url": url}, 409)
    private = body.get("private") or body.get("visibility") == "private"
    repo = store.repos[kind, repo_id] = Repo(kind, repo_id, private)
    repo.add_commit({".gitattributes": store.add(b"*.safetensors filter=lfs\n")})
    return JSONResponse({"url": url, "name": repo_id})


async def preupload(request: Request) -> Response:
    """Every file goes into the commit itself: "lfs" would send the client on to Xet."""
    repo, body = find_repo(request, write=True), await request.json()
    files = repo.commits[repo.commit_of(request.path_params["rev"])]
    regular = {"uploadMode": "regular", "shouldIgnore": False}
    answers = [
        {"path": file["path"], "oid": files.get(file["path"]), **regular} for file in body["files"]
    ]
    return JSONResponse({"files": answers})


async def commit(request: Request) -> Response:
    store, repo = request.app.state.store, find_repo(request, write=True)
    files = dict(repo.files)
    for line in (await request.body()).splitlines():
        item = json.loads(line)
        value = item["value"]
        if item["key"] == "header" and value.get("parentCommit", repo.head) != repo.head:
            raise refusal(412, "A commit has happened since. Please refresh and try again.")
        if item["key"] == "file":
            files[value["path"]] = store.add(base64.b64decode(value["content"]))
        elif item["key"] == "deletedFile":
            del files[value["path"]]
        elif item["key"] == "deletedFolder":
            inside = value["path"].rstrip("/") + "/"
            files = {path: blob for path, blob in files.items() if not path.startswith(inside)}
    oid = repo.add_commit(files)
    return JSONResponse({"commitOid": oid, "commitUrl": f"{store.url}/{repo.id}/commit/{oid}"})


async def create_tag(request: Request) -> Response:
    repo, tag = find_repo(request, write=True), (await request.json())["tag"]
    if tag in repo.tags:
        raise refusal(409, f"Tag {tag} already exists")
    repo.tags[tag] = repo.commit_of(request.path_params["rev"])
    return JSONResponse({})


async def refs(request: Request) -> Response:
    repo = find_repo(request)
    tags = [
        {"name": name, "ref": f"refs/tags/{name}", "targetCommit": oid}
        for name, oid in repo.tags.items()
    ]
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}
    return JSONResponse({"branches": [main], "tags": tags, "converts": []})


async def info(request: Request) -> Response:
    repo = find_repo(request)
    oid = repo.commit_of(request.path_params.get("rev", "main"))
    answer = {"id": repo.id, "sha": oid, "private": repo.private, "tags": []}
    answer["siblings"] = [{"rfilename": path} for path in repo.commits[oid]]
    if repo.kind == "model":
        answer |= {"pipeline_tag": "image-classification", "library_name": "timm"}
    return JSONResponse(answer)


def entries(store: Store, files: dict[str, str]) -> list[dict]:
    """Return files and the folders they stand in, as `tree` and `paths-info` list them."""
    folders = {p.as_posix() for path in files for p in Path(path).parents if p != Path(".")}
    listed = [{"type": "directory", "path": path, "oid": "0" * 40} for path in sorted(folders)]
    for path, oid in files.items():
        size = (store.folder / oid).stat().st_size
        listed.append({"type": "file", "path": path, "oid": oid, "size": size})
    return listed


async def tree(request: Request) -> Response:
    store, repo, values = request.app.state.store, find_repo(request), request.path_params
    files = repo.commits[repo.commit_of(values["rev"])]
    folder = Path(values.get("path", ""))
    deep = request.query_params.get("recursive", "").lower() == "true"
    inside = [
        entry
        for entry in entries(store, files)
        if folder in Path(entry["path"]).parents and (deep or Path(entry["path"]).parent == folder)
    ]
    if not inside and folder != Path("."):
        raise refusal(404, f"{folder} does not exist on {values['rev']}", "EntryNotFound")
    return JSONResponse(inside)


async def paths_info(request: Request) -> Response:
    store, repo = request.app.state.store, find_repo(request)
    wanted = (await request.form()).getlist("paths")
    files = repo.commits[repo.commit_of(request.path_params["rev"])]
    return JSONResponse([entry for entry in entries(store, files) if entry["path"] in wanted])


async def variables(request: Request) -> Response:
    repo = find_repo(request, write=True)
    if request.method == "POST":
        body = await request.json()
        repo.variables[body["key"]] = body["value"]
    return JSONResponse({key: {"value": value} for key, value in repo.variables.items()})


async def resolve(request: Request) -> Response:
    """Serve a file, whole or a Range of it; a missing one still tells the commit."""
    store, repo, values = request.app.state.store, find_repo(request), request.path_params
    oid = repo.commit_of(values["rev"])
    blob = repo.commits[oid].get(values["path"])
    if blob is None:
        missing = refusal(404, "Entry not found", "EntryNotFound")
        missing.headers["X-Repo-Commit"] = oid
        raise missing
    return FileResponse(store.folder / blob, headers={"X-Repo-Commit": oid, "ETag": f'"{blob}"'})


API = "/api/{kinds}/{user}/{name}"
FILE = "/{user}/{name}/resolve/{rev}/{path:path}"
ROUTES = [
    Route("/api/whoami-v2", whoami),
    Route("/api/validate-yaml", validate_yaml, methods=["POST"]),
    Route("/api/repos/create", create_repo, methods=["POST"]),
    Route(API, info),
    Route(API + "/revision/{rev:path}", info),
    Route(API + "/refs", refs),
    Route(API + "/tree/{rev}", tree),
    Route(API + "/tree/{rev}/{path:path}", tree),
    Route(API + "/paths-info/{rev}", paths_info, methods=["POST"]),
    Route(API + "/preupload/{rev}", preupload, methods=["POST"]),
    Route(API + "/commit/{rev}", commit, methods=["POST"]),
    Route(API + "/tag/{rev}", create_tag, methods=["POST"]),
    Route(API + "/variables", variables, methods=["GET", "POST"]),
    Route("/{kinds}" + FILE, resolve),
    Route(FILE, resolve),
]


def build_app(store: Store) -> Starlette:
    app = Starlette(routes=ROUTES, exception_handlers={HTTPException: refuse})
    app.state.store = store
    return app
