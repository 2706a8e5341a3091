"""The HTTP API. Views read the request, call the flow and write the answer; they hold no rules of their own."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.http import parse_etags
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField, FileField, ListField, Serializer
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from apps.jobs import flow, storage, submissions
from apps.jobs.access import jobs_of
from apps.jobs.models import Artifact, Job
from apps.jobs.problems import Conflict, described
from apps.jobs.serializers import JobSerializer


class SubmissionSerializer(Serializer[Any]):
    """What a submission consists of; used to describe the API."""

    images = ListField(child=FileField(), required=False)
    image_urls = ListField(child=CharField(), required=False)
    algorithms = ListField(child=CharField())


class JobPages(PageNumberPagination):
    """Twenty jobs a page, at most a hundred."""

    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100


class Throttled(ScopedRateThrottle):
    """Two rates, `submit` and `read`: reading one's jobs must not use up the right to submit."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Choose the rate by method."""
        self.scope = "submit" if request.method == "POST" else "read"
        self.rate = self.get_rate()
        if self.rate is None:
            return True
        self.num_requests, self.duration = self.parse_rate(self.rate)
        return super(ScopedRateThrottle, self).allow_request(request, view)


class JobsView(ListAPIView[Job]):
    """Submit a job, or list one's own."""

    serializer_class = JobSerializer
    pagination_class = JobPages
    parser_classes = (MultiPartParser, FormParser, JSONParser)
    throttle_classes = (Throttled,)

    def get_queryset(self) -> QuerySet[Job]:
        """The user's jobs, newest first."""
        return _with_parts(jobs_of(self.request.user))

    @extend_schema(responses={200: JobSerializer(many=True), **described(404)})
    def get(self, request: Request) -> Response:
        """The jobs of whoever asks, newest first."""
        return super().get(request)

    @extend_schema(
        request={"multipart/form-data": SubmissionSerializer, "application/json": SubmissionSerializer},
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        responses={202: JobSerializer, 200: JobSerializer, **described(400, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Accept images and algorithms: 202 once it is recorded; 200 when the Idempotency-Key is known already."""
        submission = submissions.read(request.data, request.FILES.getlist("images"))
        job, created = submissions.accept(request.user, submission, request.headers.get("Idempotency-Key"))
        code = status.HTTP_202_ACCEPTED if created else status.HTTP_200_OK
        return Response(_document(job.id), status=code, headers={"Location": f"/api/jobs/{job.id}/"})


class JobView(APIView):
    """One job."""

    throttle_classes = (Throttled,)

    @extend_schema(responses={200: JobSerializer, 304: None, **described(404)})
    def get(self, request: Request, job_id: uuid.UUID) -> Response:
        """The job document; 304 when `If-None-Match` names the state the client already has."""
        job = _job(request, job_id)
        etag = f'W/"{job.seq}"'
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if etag in parse_etags(request.headers.get("If-None-Match", "")):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        return Response(JobSerializer(job).data, headers=headers)


class CancelView(APIView):
    """End a job early."""

    throttle_classes = (Throttled,)

    @extend_schema(request=None, responses={200: JobSerializer, **described(400, 404, 409, 415)})
    def post(self, request: Request, job_id: uuid.UUID) -> Response:
        """Cancel what has not ended; cancelling twice is fine, cancelling a finished job is a conflict."""
        job = _job(request, job_id)
        try:
            flow.cancel(job.id)
        except flow.AlreadyFinishedError:
            raise Conflict("the job has already finished") from None
        return Response(_document(job.id))


class ArtifactView(APIView):
    """Download one artifact."""

    throttle_classes = (Throttled,)

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, **described(404)})
    def get(self, request: Request, artifact_id: uuid.UUID) -> HttpResponse:
        """The file, always as an attachment of the type we gave it: a browser never interprets it as a page of ours."""
        artifact = Artifact.objects.filter(pk=artifact_id, task__job__in=jobs_of(request.user)).first()
        if artifact is None:
            raise NotFound
        try:
            content = storage.artifact_file(artifact.path).read_bytes()
        except FileNotFoundError:
            raise NotFound from None
        response = HttpResponse(content, content_type=artifact.media_type)
        response["Content-Disposition"] = f'attachment; filename="{artifact.name}"'
        response["X-Content-Type-Options"] = "nosniff"
        response["Content-Security-Policy"] = "sandbox; default-src 'none'"
        response["ETag"] = f'"{artifact.sha256}"'
        return response


def _with_parts(jobs: QuerySet[Job]) -> QuerySet[Job]:
    return jobs.prefetch_related("images", "tasks__artifacts")


def _job(request: Request, job_id: uuid.UUID) -> Job:
    job = _with_parts(jobs_of(request.user)).filter(pk=job_id).first()
    if job is None:
        raise NotFound
    return job


def _document(job_id: uuid.UUID) -> dict[str, Any]:
    document: dict[str, Any] = JobSerializer(_with_parts(Job.objects.filter(pk=job_id)).get()).data
    return document
