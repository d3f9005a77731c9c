"""One cluster's settings. What differs between clusters comes from the environment, as in a deployment."""

import os

SECRET_KEY = "not a secret: this project serves nothing"
INSTALLED_APPS = ["syzygy", "shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["SHOP_DATABASE_PORT"],
        "NAME": os.environ["SHOP_DATABASE"],
        "USER": "postgres",
    }
}
if "SHOP_CACHE" in os.environ:  # ./dev compare: django-syzygy's own backend
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["SHOP_CACHE"]}}
    MIGRATION_QUORUM_BACKEND = {"backend": "syzygy.quorum.backends.cache.CacheQuorum"}
else:
    MIGRATION_QUORUM_BACKEND = {"backend": "syzygy_client.quorum.SyzygyQuorum"}  # the rest: SYZYGY_URL, _PREFIX, _PARTY
