"""What the test Hub answers: the routes of the Hub's HTTP API.

Served by `hub_server.py`, which also holds the fixtures. The facts behind each answer come from
the requests of huggingface_hub 2.4 and datasets 5.2, with Xet switched off.
"""

import base64
import json
import re
from pathlib import Path

import yaml
from hub_store import Repo, Store, is_lfs, refusal
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

WRITE_TOKEN = "hf_write"
READ_TOKEN = "hf_read"
USER = "user"  # both tokens are theirs; writing under another name is forbidden


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
    repo, body = find_repo(request, write=True), await request.json()
    there = repo.commits[repo.commit_of(request.path_params["rev"])]
    files = [
        {
            "path": file["path"],
            "oid": there.get(file["path"]),
            "uploadMode": "lfs" if is_lfs(file["path"]) else "regular",
            "shouldIgnore": False,
        }
        for file in body["files"]
    ]
    return JSONResponse({"files": files})


async def lfs_batch(request: Request) -> Response:
    """Tell where each large file goes that is not there yet."""
    store, body = request.app.state.store, await request.json()
    find_repo(request, write=True)
    objects = []
    for item in body["objects"]:
        href = f"{store.url}/lfs/{item['oid']}"
        there = (store.folder / item["oid"]).exists()
        objects.append(item if there else item | {"actions": {"upload": {"href": href}}})
    return JSONResponse({"transfer": "basic", "objects": objects})


async def lfs_put(request: Request) -> Response:
    blob = request.app.state.store.add_lfs(await request.body())
    return Response(status_code=200 if blob == request.path_params["oid"] else 400)


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
        elif item["key"] == "lfsFile":
            files[value["path"]] = value["oid"]
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


async def tree(request: Request) -> Response:
    store, repo, values = request.app.state.store, find_repo(request), request.path_params
    files = repo.commits[repo.commit_of(values["rev"])]
    folder = Path(values.get("path", ""))
    deep = request.query_params.get("recursive", "").lower() == "true"
    inside = [
        entry
        for entry in store.listing(files)
        if folder in Path(entry["path"]).parents and (deep or Path(entry["path"]).parent == folder)
    ]
    if not inside and folder != Path("."):
        raise refusal(404, f"{folder} does not exist on {values['rev']}", "EntryNotFound")
    return JSONResponse(inside)


async def paths_info(request: Request) -> Response:
    store, repo = request.app.state.store, find_repo(request)
    wanted = (await request.form()).getlist("paths")
    files = repo.commits[repo.commit_of(request.path_params["rev"])]
    return JSONResponse([entry for entry in store.listing(files) if entry["path"] in wanted])


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
LFS = "/info/lfs/objects/batch"
FILE = "/{user}/{name}/resolve/{rev}/{path:path}"
ROUTES = [
    Route("/api/whoami-v2", whoami),
    Route("/api/validate-yaml", validate_yaml, methods=["POST"]),
    Route("/api/repos/create", create_repo, methods=["POST"]),
    Route("/lfs/{oid}", lfs_put, methods=["PUT"]),
    Route("/{user}/{name}.git" + LFS, lfs_batch, methods=["POST"]),
    Route("/{kinds}/{user}/{name}.git" + LFS, lfs_batch, methods=["POST"]),
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
