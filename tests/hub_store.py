"""What the test Hub keeps: repositories in memory, their files' contents in a folder."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from starlette.exceptions import HTTPException

LFS_SUFFIXES = (".safetensors", ".parquet")


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
    """All repositories; contents lie in `folder` under their blob ids.

    The blob id is git's SHA-1 for a regular file and the SHA-256 for one of LFS.
    """

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

    def add_lfs(self, content: bytes) -> str:
        blob = hashlib.sha256(content).hexdigest()
        (self.folder / blob).write_bytes(content)
        return blob

    def listing(self, files: dict[str, str]) -> list[dict]:
        """Return files and the folders they stand in, as the Hub lists them."""
        folders = {p.as_posix() for path in files for p in Path(path).parents if p != Path(".")}
        listed = [{"type": "directory", "path": path, "oid": "0" * 40} for path in sorted(folders)]
        for path, oid in files.items():
            size = (self.folder / oid).stat().st_size
            entry = {"type": "file", "path": path, "oid": oid, "size": size}
            if is_lfs(path):
                entry["lfs"] = {"oid": oid, "size": size, "pointerSize": 130}
            listed.append(entry)
        return listed

    def upload(self, repo_id: str, folder: Path, kind: str = "model") -> Repo:
        """Put the files of a folder into a new repository, without HTTP."""
        repo = self.repos[kind, repo_id] = Repo(kind, repo_id)
        files = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            add = self.add_lfs if is_lfs(path.name) else self.add
            files[path.relative_to(folder).as_posix()] = add(path.read_bytes())
        repo.add_commit(files)
        return repo


def refusal(status: int, message: str, code: str = "") -> HTTPException:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return HTTPException(status, message, headers)


def is_lfs(path: str) -> bool:
    return path.endswith(LFS_SUFFIXES)
