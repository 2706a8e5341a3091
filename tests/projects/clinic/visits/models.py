from django.db import models


class Visit(models.Model):
    name = models.CharField(max_length=50)
    state = models.CharField(max_length=20, default="pending")
