"""``/metrics``: what Prometheus reads, under vLLM's names and in its buckets.

Dashboards and alerts that were made for vLLM work as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from modelwright.inference.backend import Backend
from modelwright.inference.sequence import Sequence as TokenSequence
from modelwright.monitoring.request_recorder import RequestRecorder
from modelwright.serving.trace import RequestTrace

FIRST_TOKEN_SECONDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40,
    80, 160, 640, 2560,
)  # fmt: skip
TOKEN_SECONDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
)  # fmt: skip
REQUEST_SECONDS = (
    0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
)  # fmt: skip

LABELS = ("model_name", "engine")
Labels = tuple[str, str]

SPANS = {
    "e2e_request_latency_seconds": "From the request to its end.",
    "request_queue_time_seconds": "In the queue.",
    "request_inference_time_seconds": "From the queue to the end.",
    "request_prefill_time_seconds": "From the queue to the first token.",
    "request_decode_time_seconds": "From the first token to the end.",
}
"""Times of a whole request."""


class ServerMetrics:
    """Counts and times of one server.

    Parameters
    ----------
    engines : mapping of str to Backend
        By name of the model; they tell of their tokens, and are asked for their queues when
        somebody reads.
    recorder : RequestRecorder, optional
        Asked for what it has written and dropped.
    """

    def __init__(self, engines: Mapping[str, Backend], recorder: RequestRecorder | None = None):
        self.registry = CollectorRegistry()
        self._engines = dict(engines)
        length = max(one.context_length for one in engines.values())
        gauge, counter, histogram = self._gauge, self._counter, self._histogram
        self._running = gauge("num_requests_running", "Texts that are being generated.")
        self._waiting = gauge("num_requests_waiting", "Texts that wait.")
        self._cache_usage = gauge("kv_cache_usage_perc", "Full part of the cache, 1 for all.")
        self._prompt_tokens = counter("prompt_tokens", "Tokens of prompts that were run.")
        self._generated_tokens = counter("generation_tokens", "Tokens that were generated.")
        self._finished = Counter(
            "vllm:request_success",
            "Texts that ended, by reason.",
            (*LABELS, "finished_reason"),
            registry=self.registry,
        )
        self._first_token = histogram(
            "time_to_first_token_seconds",
            "From the request to its first token.",
            FIRST_TOKEN_SECONDS,
        )
        self._intervals = [
            histogram(name, "From one token to the next.", TOKEN_SECONDS)
            for name in ("inter_token_latency_seconds", "time_per_output_token_seconds")
        ]
        self._spans = {name: histogram(name, what, REQUEST_SECONDS) for name, what in SPANS.items()}
        self._prompt_lengths = histogram(
            "request_prompt_tokens", "Tokens of a prompt.", one_two_five(length)
        )
        self._limits = histogram(
            "request_max_num_generation_tokens", "Tokens that were allowed.", one_two_five(length)
        )
        self._asked_lengths = histogram(
            "request_params_max_tokens", "max_tokens of a request.", one_two_five(length)
        )
        self._asked_choices = histogram(
            "request_params_n", "Choices of a request.", (1, 2, 5, 10, 20)
        )
        self._answer_lengths = histogram(
            "request_generation_tokens", "Tokens of an answer.", one_two_five(length)
        )
        self._requests = Counter(
            "modelwright:http_requests",
            "Answers, by model, route and status.",
            ("model_name", "route", "status"),
            registry=self.registry,
        )
        self.registry.register(_EngineCounts(self._engines))
        if recorder is not None:
            self.registry.register(_RecorderCounts(recorder))
        for name, background in self._engines.items():
            background.on_tokens = partial(self.on_tokens, (name, "0"))
            background.on_end = partial(self.on_end, (name, "0"))

    def on_tokens(self, labels: Labels, sequence: TokenSequence, tokens: int) -> None:
        """So many tokens have come in one step; in the engine's thread."""
        timing = sequence.timing
        if len(sequence.generated) == tokens:
            self._prompt_tokens.labels(*labels).inc(len(sequence.prompt))
            if timing.first_token is not None:
                waited = timing.first_token - timing.arrived
                self._first_token.labels(*labels).observe(waited)
        elif timing.interval is not None:
            for histogram in self._intervals:
                for _ in range(tokens):
                    histogram.labels(*labels).observe(timing.interval)
        self._generated_tokens.labels(*labels).inc(tokens)

    def on_end(self, labels: Labels, sequence: TokenSequence) -> None:
        """A text has ended, or was cancelled; in the engine's thread."""
        timing, reason = sequence.timing, sequence.finish_reason or "abort"
        self._finished.labels(*labels, reason).inc()
        self._prompt_lengths.labels(*labels).observe(len(sequence.prompt))
        self._answer_lengths.labels(*labels).observe(len(sequence.generated))
        self._limits.labels(*labels).observe(sequence.params.max_tokens)
        started, first, last = timing.started, timing.first_token, timing.last_token
        if started is None or first is None or last is None:
            return  # it was cancelled before it said anything
        spans = {
            "e2e_request_latency_seconds": last - timing.arrived,
            "request_queue_time_seconds": started - timing.arrived,
            "request_inference_time_seconds": last - started,
            "request_prefill_time_seconds": first - started,
            "request_decode_time_seconds": last - first,
        }
        for name, seconds in spans.items():
            self._spans[name].labels(*labels).observe(seconds)

    def on_request(self, trace: RequestTrace) -> None:
        """A request has been answered."""
        self._requests.labels(trace.model or "", trace.route, str(trace.status)).inc()
        if trace.model is not None and trace.wanted is not None and trace.most_tokens is not None:
            labels = (trace.model, "0")
            self._asked_choices.labels(*labels).observe(trace.wanted)
            self._asked_lengths.labels(*labels).observe(trace.most_tokens)

    def collected(self) -> list[Metric]:
        """All of it, as it is now."""
        for name, background in self._engines.items():
            figures, labels = background.figures(), (name, "0")
            self._running.labels(*labels).set(figures.running)
            self._waiting.labels(*labels).set(figures.waiting)
            if figures.cache_usage is not None:
                self._cache_usage.labels(*labels).set(figures.cache_usage)
        return list(self.registry.collect())

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"vllm:{name}", what, LABELS, registry=self.registry)

    def _counter(self, name: str, what: str) -> Counter:
        return Counter(f"vllm:{name}", what, LABELS, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"vllm:{name}", what, LABELS, registry=self.registry, buckets=buckets)


def of_replicas(collected: Mapping[str, Sequence[Metric]]) -> list[Metric]:
    """What several replicas have collected, as one server's.

    Parameters
    ----------
    collected : mapping of str to sequence of Metric
        By the replica's name, which becomes the label ``replica`` of its samples: sums of counters
        over replicas that come and go would fall, which Prometheus takes for a restart.
    """
    families = dict[str, Metric]()
    for replica, metrics in sorted(collected.items()):
        for metric in metrics:
            empty = Metric(metric.name, metric.documentation, metric.type)
            families.setdefault(metric.name, empty).samples += [
                sample._replace(labels={**sample.labels, "replica": replica})
                for sample in metric.samples
            ]
    return list(families.values())


def written(metrics: Sequence[Metric]) -> bytes:
    """Metrics in Prometheus' text format."""
    return generate_latest(_Collected(metrics))


class _Collected(Collector):
    """Metrics that were collected before."""

    def __init__(self, metrics: Sequence[Metric]):
        self._metrics = metrics

    def collect(self) -> Sequence[Metric]:
        return self._metrics


class _RecorderCounts(Collector):
    """What a recorder counts itself."""

    def __init__(self, recorder: RequestRecorder):
        self._recorder = recorder

    def collect(self) -> Iterator[Metric]:
        for name, what, value in (
            ("written", "Requests that are in the request log.", self._recorder.written),
            ("dropped", "Requests that should be and are not.", self._recorder.dropped),
        ):
            yield CounterMetricFamily(f"modelwright:request_log_{name}", what, value)


class _EngineCounts(Collector):
    """What engines count themselves."""

    def __init__(self, engines: Mapping[str, Backend]):
        self._engines = engines

    def collect(self) -> Iterator[Metric]:
        counts = {
            "prefix_cache_queries": "Tokens of texts that were looked for in the cache.",
            "prefix_cache_hits": "Those of them that were there.",
            "num_preemptions": "Texts that lost their room and were run again.",
            "spec_decode_num_draft_tokens": "Tokens that were guessed.",
            "spec_decode_num_accepted_tokens": "Those of them that came true.",
        }
        families = {
            name: CounterMetricFamily(f"vllm:{name}", what, labels=LABELS)
            for name, what in counts.items()
        }
        for name, background in self._engines.items():
            known = background.figures().counts
            for count, family in families.items():
                if count in known:
                    family.add_metric((name, "0"), known[count])
        yield from families.values()


def one_two_five(most: int) -> list[int]:
    """1, 2, 5, 10, 20, … up to ``most``."""
    powers = [10**digits for digits in range(len(str(most)))]
    return [digit * power for power in powers for digit in (1, 2, 5) if digit * power <= most]
