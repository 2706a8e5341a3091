from django.http import JsonResponse
from django.urls import path

urlpatterns = [path("up/", lambda request: JsonResponse({"up": True}))]
