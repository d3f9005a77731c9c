"""Post-deploy by django-syzygy's inference: the old code still reads the column."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RemoveField("order", "note")]
