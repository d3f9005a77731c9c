"""Pre-deploy. Leaves a row for every time that it runs, with the cluster that ran it; fails half-way where a test wants it to."""

import os

from django.db import migrations, models
from syzygy import Stage


def place_order(apps, schema_editor):
    apps.get_model("shop", "Order").objects.create(number=1, note=os.environ["SYZYGY_PARTY"])
    if "SHOP_SQL" in os.environ:  # what ./dev compare has each tool apply
        schema_editor.execute(os.environ["SHOP_SQL"])
    if "SHOP_FAILS" in os.environ:
        schema_editor.execute("SELECT 1 / 0")


class PlaceOrder(migrations.RunPython):
    stage = Stage.PRE_DEPLOY


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField()),
                ("note", models.TextField(null=True)),
            ],
        ),
        PlaceOrder(place_order),
    ]
