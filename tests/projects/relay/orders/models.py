from django.db import models


class Order(models.Model):
    tag = models.CharField(max_length=100)
    state = models.CharField(max_length=20, default="new")
    problem = models.TextField(default="")
