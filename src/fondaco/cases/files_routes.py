"""The API of files in cases."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import FromPath, QueryParameter

from fondaco import cases
from fondaco.cases.model import Acting, Side
from fondaco.core.web import Call
from fondaco.integrations.blobs import Blobs

_BYTES = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, content_encoding="binary"))
Name = Annotated[str, QueryParameter(max_length=200, description="The file's name.")]


class AddedFile(msgspec.Struct, frozen=True):
    """A file that was added."""

    id: UUID


class FileOperation(Operation):
    """Describes the file as the body."""

    def __post_init__(self) -> None:
        kinds = ("image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain")
        self.request_body = RequestBody(content=dict.fromkeys(kinds, _BYTES), required=True)


def file_answer(file: cases.File) -> Response[bytes]:
    """A file as an answer that runs nothing: pictures in the page, the rest as a download."""
    way = "inline" if file.media_type.startswith("image/") else "attachment"
    ascii_name = file.name.encode("ascii", "replace").decode().replace("?", "_").replace("\\", "_")
    kind = "text/plain; charset=utf-8" if file.media_type == "text/plain" else file.media_type
    return Response(
        file.body,
        media_type=kind,
        headers={
            "Content-Disposition": f'{way}; filename="{ascii_name}"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
        },
    )


async def _add(request: Call, side: Side, case_id: UUID, name: str) -> AddedFile:
    body = await request.body()
    by = Acting(side, request.viewer)
    file_id = await cases.attach(request.db, request.part(Blobs), by, case_id, name=name or "file", body=body)
    return AddedFile(file_id)


_ADD = "Add a file to a case"
_ADD_MORE = "The body is the file: PNG, JPEG, WebP, PDF or plain text up to 5 MB, told by its bytes."


@post(
    "/api/v1/cases/{case_id:uuid}/files",
    permit="cases.own",
    operation_class=FileOperation,
    summary=_ADD,
    description=_ADD_MORE,
)
async def add_file(request: Call, case_id: FromPath[UUID], *, name: Name = "") -> AddedFile:
    return await _add(request, "buyer", case_id, name)


@post(
    "/api/v1/seller/cases/{case_id:uuid}/files",
    permit="cases.answer",
    operation_class=FileOperation,
    summary=_ADD,
    description=_ADD_MORE,
)
async def add_store_file(request: Call, case_id: FromPath[UUID], *, name: Name = "") -> AddedFile:
    return await _add(request, "seller", case_id, name)


async def _read(request: Call, file_id: UUID, *, staff: bool = False) -> Response[bytes]:
    return file_answer(
        await cases.read_file(request.db, request.part(Blobs), request.viewer, file_id, staff=staff)
    )


@get("/api/v1/case-files/{file_id:uuid}", permit="cases.own", summary="A file of one's case")
async def get_file(request: Call, file_id: FromPath[UUID]) -> Response[bytes]:
    return await _read(request, file_id)


@get("/api/v1/seller/case-files/{file_id:uuid}", permit="sales.read", summary="A file of a case of the store")
async def get_store_file(request: Call, file_id: FromPath[UUID]) -> Response[bytes]:
    return await _read(request, file_id)


@get("/api/v1/console/case-files/{file_id:uuid}", permit="console.cases", summary="A file of any case")
async def get_any_file(request: Call, file_id: FromPath[UUID]) -> Response[bytes]:
    return await _read(request, file_id, staff=True)


routes = [add_file, add_store_file, get_file, get_store_file, get_any_file]
