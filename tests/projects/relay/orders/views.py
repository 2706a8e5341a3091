import json
import time

from django.conf import settings
from django.db import transaction
from django.http import FileResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from .models import Order
from .tasks import fulfil


@csrf_exempt
def orders(request):
    if request.method != "POST":
        return JsonResponse({"error": "POST an order"}, status=405)
    order = Order.objects.create(tag=json.loads(request.body)["tag"])
    answer = JsonResponse({"order": {"number": order.pk}}, status=201)
    if settings.FAULT == "rollback":
        transaction.set_rollback(True) if transaction.get_connection().in_atomic_block else order.delete()
    elif settings.FAULT == "atomic":  # the message overtakes the commit
        fulfil.delay(order.pk)
        time.sleep(0.5)
    elif settings.FAULT != "no_message":
        transaction.on_commit(lambda: fulfil.delay(order.pk))
    return answer


@csrf_exempt
def order(request, number):
    found = Order.objects.filter(pk=number).first()
    if found is None:
        return JsonResponse({"error": "no such order"}, status=404)
    if request.method == "DELETE":
        found.delete()
        return JsonResponse({}, status=200)
    link = f"/orders/{number}/receipt"
    return JsonResponse({"state": found.state, "problem": found.problem, "tag": found.tag, "receipt": link})


def receipt(request, number):
    file = settings.MEDIA_ROOT / f"{number}.txt"
    if settings.FAULT == "other_media" or not file.exists():
        return JsonResponse({"error": "no receipt"}, status=404)
    return FileResponse(file.open("rb"))
