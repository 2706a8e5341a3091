from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            "Order",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("tag", models.CharField(max_length=100)),
                ("state", models.CharField(max_length=20, default="new")),
                ("problem", models.TextField(default="")),
            ],
        )
    ]
