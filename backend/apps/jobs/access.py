"""Who may do what: everybody sees their own jobs, nobody anybody else's."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apps.jobs.models import Job

User = AbstractBaseUser | AnonymousUser


def may_use(user: User) -> bool:
    """Signed-in users always; others only where the development settings allow it."""
    return user.is_authenticated or bool(settings.INTELLI_ANONYMOUS)


def jobs_of(user: User) -> QuerySet[Job]:
    """The jobs a user may see. Somebody else's id is simply not among them: 404, which tells nothing."""
    if not may_use(user):
        return Job.objects.none()
    return Job.objects.filter(owner_id=user.pk)


class MayUseJobs(BasePermission):
    """DRF's view of `may_use`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the request may use the API at all.

        Raises:
            PermissionDenied: nobody in particular, and a page of another site sent it.
        """
        if not may_use(request.user):
            return False
        # A session needs its CSRF token and a token is no cookie. Who is nobody shows neither, so any page open in a
        # developer's browser could submit to a server on this machine: browsers name that page's origin.
        if not request.user.is_authenticated and request.method not in SAFE_METHODS and _from_elsewhere(request):
            raise PermissionDenied("sent by a page of another site")
        return True


def _from_elsewhere(request: Request) -> bool:
    """Whether a browser says that a page of another site sent this. Programs that are no browsers send no origin."""
    origin = request.headers.get("Origin")
    if origin is None or origin in settings.CSRF_TRUSTED_ORIGINS:
        return False
    return urlsplit(origin).netloc != request.get_host()
