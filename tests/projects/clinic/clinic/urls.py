from django.http import JsonResponse
from django.urls import path
from visits import api

urlpatterns = [
    path("up/", lambda request: JsonResponse({"up": True})),
    path("visits/", api.visits),
    path("visits/<int:number>/", api.visit),
]
