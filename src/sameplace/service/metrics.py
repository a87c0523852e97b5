"""What Prometheus may ask: how much is asked, how long it takes, how much waits."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ANSWERED_TOGETHER = (1, 2, 4, 8, 16)


class Metrics:
    """The figures of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sameplace_requests_total", "Requests by route and status.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "sameplace_request_seconds", "Seconds until the answer.", ("method", "route"), buckets=SECONDS, registry=self._registry
        )
        self._together = Histogram(
            "sameplace_questions_together", "Photos described together.", buckets=ANSWERED_TOGETHER, registry=self._registry
        )

    def gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Let a figure be asked for whenever Prometheus asks."""
        Gauge(f"sameplace_{name}", meaning, registry=self._registry).set_function(value)

    def answered(self, photos: int) -> None:
        """So many photos were described together."""
        self._together.observe(photos)

    def responded(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request has had its response."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """All figures as Prometheus reads them."""
        return generate_latest(self._registry)
