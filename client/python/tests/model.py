"""A barrier in forty lines, behind HTTP: enough of a daemon to hold the backend against the quorum's contract without one."""

import threading
from typing import Any, Dict, List
from urllib.parse import unquote

from .scripted import Asked, Reply, ScriptedServer, barrier, problem


class _Generation:
    def __init__(self, number: int, quorum: int) -> None:
        self.number = number
        self.quorum = quorum
        self.arrived: Dict[str, str] = {}  # party -> incarnation
        self.state = "WAITING"
        self.completed_by = ""
        self.reason = ""

    def over(self) -> bool:
        return self.state == "OPEN" or (self.state == "SEVERED" and len(self.arrived) >= self.quorum)


class ModelDaemon(ScriptedServer):
    """Knows generations, and that a severer counts as an arrival. Knows neither leases nor limits."""

    def __init__(self) -> None:
        self._barriers: Dict[str, List[_Generation]] = {}
        self._changed = threading.Condition()
        super().__init__(self._serve)

    def _serve(self, asked: Asked) -> Reply:
        _, _, _, name, verb = asked.path.split("/")
        with self._changed:
            generations = self._barriers.setdefault(unquote(name), [])
            reply = {"enter": self._enter, "await": self._await, "sever": self._sever}[verb](generations, asked.body)
            self._changed.notify_all()
            return reply

    def _current(self, generations: List[_Generation], body: Dict[str, Any]) -> _Generation:
        for generation in generations:
            if body["incarnation"] in generation.arrived.values():
                return generation
        if not generations or generations[-1].over():
            generations.append(_Generation(len(generations) + 1, body["quorum"]))
        generations[-1].arrived[body["party"]] = body["incarnation"]
        return generations[-1]

    def _enter(self, generations: List[_Generation], body: Dict[str, Any]) -> Reply:
        now = self._current(generations, body)
        if now.quorum != body["quorum"]:
            return problem(400, f"this barrier gathers {now.quorum} parties", "QUORUM_MISMATCH")
        if now.state == "WAITING" and len(now.arrived) >= now.quorum:
            now.state, now.completed_by = "OPEN", body["incarnation"]
        return self._told(now, body)

    def _sever(self, generations: List[_Generation], body: Dict[str, Any]) -> Reply:
        now = self._current(generations, body)
        now.state, now.reason = "SEVERED", body["reason"]
        return self._told(now, body)

    def _await(self, generations: List[_Generation], body: Dict[str, Any]) -> Reply:
        now = generations[int(body["generation"]) - 1]
        self._changed.wait_for(lambda: now.state != "WAITING", timeout=float(body["wait"].rstrip("s")))
        return self._told(now, body)

    @staticmethod
    def _told(now: _Generation, body: Dict[str, Any]) -> Reply:
        mine = now.completed_by == body["incarnation"]
        return barrier(now.state, now.number, len(now.arrived), now.quorum, completedByYou=mine, reason=now.reason)
