"""Files as request bodies: raw, or as one field of a multipart form."""

from dataclasses import dataclass

from litestar.datastructures import UploadFile
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

from fondaco.core.problem import Invalid
from fondaco.core.web import Call

_BYTES = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, content_encoding="binary"))


async def uploaded(call: Call, body: bytes, field: str) -> bytes:
    """The file sent: the body itself, or the form's `field`; raises Invalid when it is not there."""
    if not call.headers.get("content-type", "").startswith("multipart/form-data"):
        return body
    found = (await call.form()).get(field)
    if not isinstance(found, UploadFile):
        raise Invalid(fields={field: "Choose a file."})
    return await found.read()


@dataclass
class PictureOperation(Operation):
    """Describes a picture as the body."""

    def __post_init__(self) -> None:
        kinds = ("image/png", "image/jpeg", "image/webp")
        form = Schema(
            type=OpenAPIType.OBJECT,
            properties={"cover": Schema(type=OpenAPIType.STRING, content_encoding="binary")},
            required=["cover"],
        )
        self.request_body = RequestBody(
            content=dict.fromkeys(kinds, _BYTES) | {"multipart/form-data": OpenAPIMediaType(schema=form)},
            required=True,
        )
