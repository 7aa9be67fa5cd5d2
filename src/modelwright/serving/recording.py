"""From what is known of a request to what is kept of it."""

from __future__ import annotations

from modelwright.monitoring.request_log import LoggedRequest
from modelwright.monitoring.request_recorder import RequestRecorder
from modelwright.serving.trace import RequestTrace


def record_trace(recorder: RequestRecorder, trace: RequestTrace) -> None:
    """Have a request recorded, if it generated something and is among the share that is kept."""
    if trace.model is None or not trace.generations or not recorder.is_wanted(trace.request_id):
        return
    recorder.record(
        LoggedRequest(
            id=trace.request_id,
            created=trace.at,
            model=trace.model,
            route=trace.route,
            key_name=trace.key,
            prompt=list(trace.asked),
            answers=trace.answers,
            prompt_tokens=trace.prompt_tokens,
            generated_tokens=trace.generated_tokens,
            seconds=trace.seconds,
            finish_reason=trace.finish_reason,
        )
    )
