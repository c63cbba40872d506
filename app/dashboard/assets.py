"""Styles and scripts: read once, compressed once, under an address that changes with their content."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from starlette.responses import Response

from levare.errors import NotFound

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parent / "static"
_MEDIA = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    plain: bytes
    compressed: bytes
    media: str


@cache
def all_assets() -> Mapping[str, Asset]:
    found = sorted(path for path in _FOLDER.iterdir() if path.suffix in _MEDIA)
    return {path.name: _asset(path.read_bytes(), path.suffix) for path in found}


def _asset(plain: bytes, suffix: str) -> Asset:
    return Asset(plain, gzip.compress(plain, 9, mtime=0), f"{_MEDIA[suffix]}; charset=utf-8")


@cache
def folder() -> str:
    """Where they all are, by a digest of all: modules find each other by names alone."""
    digest = sha256(b"".join(asset.plain for asset in all_assets().values())).hexdigest()[:12]
    return f"/assets/{digest}"


@router.get("/assets/{digest}/{file}")
async def read_asset(
    request: Request, digest: Annotated[str, InPath(max_length=64)], file: Annotated[str, InPath(max_length=64)]
) -> Response:
    """A style or a script. It tells nothing of anybody, so it is for everybody."""
    asset = all_assets().get(file)
    if asset is None or digest != folder().rpartition("/")[2]:
        raise NotFound(f"There is no file {file!r} of this version.", "Load the page again.")
    headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"}
    if takes_gzip(request):
        return Response(asset.compressed, headers=headers | {"Content-Encoding": "gzip"}, media_type=asset.media)
    return Response(asset.plain, headers=headers, media_type=asset.media)


def takes_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")
