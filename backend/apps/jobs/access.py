"""Who may do what: everybody sees their own jobs, nobody anybody else's."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet
from rest_framework.permissions import BasePermission
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
        """Whether the request may use the API at all."""
        return may_use(request.user)
