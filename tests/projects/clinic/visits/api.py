import json

from django.db import transaction
from django.http import JsonResponse

from .models import Visit
from .tasks import admit


def visits(request):
    with transaction.atomic():
        visit = Visit.objects.create(name=json.loads(request.body)["name"])
        transaction.on_commit(lambda: admit.delay(visit.pk))
    return JsonResponse({"id": visit.pk}, status=201)


def visit(request, number):
    return JsonResponse({"state": Visit.objects.get(pk=number).state})
