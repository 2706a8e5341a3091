import json

from django.db import transaction
from django.http import JsonResponse

from .models import Visit


def visits(request):
    from .tasks import admit  # late: a worker imports the URLs, and would learn the tasks without being told to

    with transaction.atomic():
        visit = Visit.objects.create(name=json.loads(request.body)["name"])
        transaction.on_commit(lambda: admit.delay(visit.pk))
    return JsonResponse({"id": visit.pk}, status=201)


def visit(request, number):
    return JsonResponse({"state": Visit.objects.get(pk=number).state})
