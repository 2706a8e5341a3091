"""Error answers as RFC 9457 problem documents (`application/problem+json`), with a list of what was refused."""

from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFilesSent
from django.http import HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.serializers import CharField, IntegerField, Serializer
from rest_framework.views import exception_handler

MEDIA_TYPE = "application/problem+json"


class TooLarge(exceptions.APIException):
    """The request, or one file in it, is larger than allowed."""

    status_code = 413
    default_code = "too_large"


class Conflict(exceptions.APIException):
    """The request contradicts what was recorded before."""

    status_code = 409
    default_code = "conflict"


class Invalid(exceptions.APIException):
    """The request is understood and refused: each item of `errors` names a field, a code and what is wrong."""

    status_code = 400
    default_code = "invalid"

    def __init__(self, *errors: tuple[str, str, str]) -> None:
        super().__init__(detail=errors[0][2] if len(errors) == 1 else f"{len(errors)} inputs were refused")
        self.errors = [{"field": field, "code": code, "message": message} for field, code, message in errors]


class RefusalSerializer(Serializer[Any]):
    """One input that was refused; used to describe the API."""

    field = CharField()
    code = CharField()
    message = CharField()


class ProblemSerializer(Serializer[Any]):
    """A problem document (RFC 9457); used to describe the API."""

    type = CharField()
    title = CharField()
    status = IntegerField()
    detail = CharField()
    errors = RefusalSerializer(many=True)  # type: ignore[assignment]  # a field of that name, as RFC 9457 examples have it


def described(*codes: int) -> dict[tuple[int, str], type[ProblemSerializer]]:
    """For the API's document: problems with these codes, and those that any request may meet."""
    return {(code, MEDIA_TYPE): ProblemSerializer for code in sorted({401, 403, 406, 429, *codes})}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: any API error becomes a problem document; others stay Django's 500."""
    if isinstance(error, RequestDataTooBig):
        error = TooLarge("the request is too large")
    elif isinstance(error, TooManyFilesSent):
        error = TooLarge("too many files in one request")
    elif isinstance(error, SuspiciousOperation):
        error = exceptions.ParseError("the request is malformed")
    response = exception_handler(error, context)
    if response is None:
        return None
    errors = getattr(error, "errors", [])
    response.data = document(response.status_code, _detail(response.data), errors)
    response.content_type = MEDIA_TYPE
    return response


def document(status: int, detail: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """The body of a problem answer."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": errors or [],
    }


def _detail(data: Any) -> str:
    if isinstance(data, dict) and "detail" in data:
        return str(data["detail"])
    return str(data)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Django's 404 page for paths no view answers."""
    return JsonResponse(document(404, "there is nothing here"), status=404, content_type=MEDIA_TYPE)


def server_error(request: HttpRequest) -> JsonResponse:
    """Django's 500 page: no detail leaves the server."""
    return JsonResponse(document(500, "unexpected error"), status=500, content_type=MEDIA_TYPE)
