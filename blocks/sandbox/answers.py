"""The bodies that say how a task stands, in every envelope that was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blocks.sandbox.ledger import plain
from blocks.sandbox.refusals import request_id
from blocks.sandbox.tasks import Task

Body = dict[str, Any]


def accepted(task: Task) -> Body:
    """Return the answer to a create request; it has no `request_id`."""
    data = {
        "task_id": task.task_id,
        "task_status": task.status,
        "task_info": _info(task),
        **_times(task),
    }
    return {"code": 0, "message": "SUCCEED", "data": data}


# https://apidoc.cometapi.com/api/video/kling/individual-queries
def native(task: Task, status: str, url: str, units: str) -> Body:
    """Return envelope A, the one that is documented."""
    head = {"task_id": task.task_id, "task_status": status}
    if status == "failed":
        data = {**head, "task_status_msg": task.failure, "task_info": {}, **_times(task)}
    elif status == "succeed" and not url:
        data = {**head, "task_result": {"videos": []}, **_times(task)}
    elif status == "succeed":
        video = {**_video(task, url), "watermark_url": ""}
        data = {
            **head,
            "task_status_msg": "",
            "task_info": _info(task),
            "task_result": {"videos": [video]},
            "watermark_info": {"enabled": False},
            **_deducted(units),
            **_times(task),
        }
    else:
        data = {**head, "task_info": {}, "task_result": {}, **_times(task)}
    return {"code": 0, "message": "SUCCEED", "request_id": request_id(), "data": data}


_WRAPPED = {
    "submitted": ("SUBMITTED", "0%"),
    "processing": ("IN_PROGRESS", "50%"),
    "succeed": ("SUCCESS", "100%"),
    "failed": ("FAILURE", "100%"),
}


# https://apidoc.cometapi.com/ja/api/video/kling/omni-query
def wrapped(task: Task, status: str, url: str, _: str) -> Body:
    """Return envelope B: the gateway's own status around Kling's answer."""
    word, progress = _WRAPPED.get(status, (status.upper(), "50%"))
    result = {"videos": [_video(task, url)]} if url else {}
    data = {
        "task_id": task.task_id,
        "status": word,
        "progress": progress,
        "fail_reason": _failure(task, status),
        "data": {"code": 0, "data": {"task_status": status, "task_result": result}, "task_result": result},
    }
    return {"code": "success", "message": "", "data": data}


# https://docs.crazyrouter.com/video/kling/query
def variant_c(task: Task, status: str, url: str, _: str) -> Body:
    """Return envelope C, of another gateway; it does not even name the task."""
    word = "succeeded" if status == "succeed" else status
    data = {"status": word, "url": url, "error": _failure(task, status) or None}
    return {"code": "success", "message": "", "data": data}


# https://docs.modelsell.com/zh/docs/api-reference/
def variant_d(task: Task, status: str, url: str, _: str) -> Body:
    """Return envelope D, of another gateway: flat."""
    word = "completed" if status == "succeed" else status
    error = {"error": _failure(task, status)} if status == "failed" else {}
    return {"task_id": task.task_id, "status": word, "url": url, **error}


ENVELOPES: dict[str, Callable[[Task, str, str, str], Body]] = {
    "wrapped-envelope": wrapped,
    "variant-c": variant_c,
    "variant-d": variant_d,
}


# https://klingai.com/document-api/api/get-started/callbacks.md
def called_back(task: Task, url: str, units: str) -> Body:
    """Return the body of a callback: the bare task, without `code` and `request_id`."""
    body = {
        "task_id": task.task_id,
        "task_status": task.status,
        "task_status_msg": _failure(task, task.status),
        **_times(task),
    }
    if task.status == "succeed":
        body.update(_deducted(units))
    result = {"videos": [_video(task, url)]} if task.status == "succeed" else {}
    return {**body, "task_info": _info(task), "task_result": result}


# https://klingai.com/document-api/api/video/avatar/text-to-speech.md
def spoken(task: Task, url: str, units: str) -> Body:
    """Return the answer about speech; the POST itself mostly carries the finished audio."""
    audio = {"id": task.media_id, "url": url, "duration": str(task.seconds)}
    data = {
        "task_id": task.task_id,
        "task_status": task.status,
        "task_status_msg": "",
        "task_result": {"audios": [audio]} if task.status == "succeed" else {},
        "final_unit_deduction": units,
        **_times(task),
    }
    return {"code": 0, "message": "SUCCEED", "request_id": request_id(), "data": data}


def _video(task: Task, url: str) -> Body:
    return {"id": task.media_id, "url": url, "duration": plain(task.seconds)}


def _info(task: Task) -> Body:
    return {"external_task_id": task.external_task_id} if task.external_task_id else {}


def _times(task: Task) -> Body:
    return {"created_at": task.created_at, "updated_at": task.updated_at}


def _deducted(units: str) -> Body:
    return {"final_unit_deduction": units, "final_balance_deduction": {"quota": "0", "list_price": "0"}}


def _failure(task: Task, status: str) -> str:
    return task.failure or "" if status == "failed" else ""
