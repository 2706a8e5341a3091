"""Paths under /api/."""

from django.urls import path

from apps.jobs import views

urlpatterns = [
    path("jobs/", views.JobsView.as_view(), name="jobs"),
    path("jobs/<uuid:job_id>/", views.JobView.as_view(), name="job"),
    path("jobs/<uuid:job_id>/cancel/", views.CancelView.as_view(), name="job-cancel"),
    path("artifacts/<uuid:artifact_id>/", views.ArtifactView.as_view(), name="artifact"),
]
