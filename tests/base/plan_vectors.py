#!/usr/bin/env python3
"""Prints the plan hashes that plan_test.cpp holds, from a second, independent encoder of the canonical form in src/base/plan.cpp."""
import hashlib


def number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def string(value: str) -> bytes:
    data = value.encode()
    return number(len(data)) + data


def plan(target, stage, opaque, on_applier_lost, steps) -> str:
    out = string("syzygy.plan") + number(1) + string(target) + number(stage) + number(opaque) + number(on_applier_lost)
    out += number(len(steps))
    for ident, direction, step_stage, content, atomic in steps:
        out += string(ident) + number(direction) + number(step_stage) + string(content) + number(atomic)
    return hashlib.sha256(out).hexdigest()


def content(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    print(plan("orders", 0, 0, 0, [(name, 0, 0, content(name), 1) for name in ("0001_init", "0002_email")]))
    print(plan("orders", 2, 1, 1, [("build-77", 0, 1, "build-77", 0)]))
