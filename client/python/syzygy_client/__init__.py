"""A quorum backend for django-syzygy on a Syzygy daemon's barrier.

The import name differs from django-syzygy's own ``syzygy`` on purpose: both are installed side by side. What a project configures is
:class:`syzygy_client.quorum.SyzygyQuorum`; the other modules are what it is made of and need nothing but the standard library.
"""

__version__ = "0.1.0"
