# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Try CUDA and an all-reduce where an engine runs: with its Python, its user, its devices, inside its image.

Read from standard input by that Python: ``python3 - JSON``. It needs no file, writes none,
and ends by itself whatever hangs: this process never touches torch, its children do, and they can be left behind.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time

MARK = "LLMFLEET-DOCTOR "
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - its size is asked, nothing is put there # nosec B108
# Floats of the tensor that is summed up: large enough for NCCL's paths between GPUs, small enough for any memory.
ELEMENTS = 4 * 2**20
ROUNDS = 5
LOG = 4000
# Settings of NCCL that tell why it hangs, tried in this order; and seconds that each may take.
VARIATIONS = (("NCCL_P2P_DISABLE",), ("NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE"))
VARIATION_SECONDS = 25
CHILDREN = []


class Child:
    """A forked process that tells its steps as lines of JSON; what it prints otherwise is kept in memory."""

    def __init__(self, work, environment):
        self.steps = []
        self.pending = b""
        self.log = os.memfd_create("doctor")
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid:
            CHILDREN.append(self.pid)
            os.close(writer)
            return
        with contextlib.suppress(BaseException):
            signal.alarm(0)
            CHILDREN.clear()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.dup2(self.log, 1)
            os.dup2(self.log, 2)
            os.environ.update(environment)

            def tell(step, **values):
                os.write(writer, json.dumps({"step": step, **values}).encode() + b"\n")

            try:
                work(tell)
                tell("done")
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the answer
                tell("failed", error=f"{type(error).__name__}: {error}"[:2000])
        os._exit(0)

    def hear(self):
        """Read what it told; False at its end."""
        chunk = os.read(self.reader, 65536)
        *lines, self.pending = (self.pending + chunk).split(b"\n")
        self.steps += [json.loads(line) for line in lines]
        return bool(chunk)

    def step(self, name):
        return next((one for one in self.steps if one["step"] == name), None)

    def end(self):
        """Kill it; one that waits for the driver does not die, and is left behind."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        for _attempt in range(20):
            with contextlib.suppress(OSError):
                if os.waitpid(self.pid, os.WNOHANG)[0] == self.pid:
                    CHILDREN.remove(self.pid)
                    break
            time.sleep(0.1)
        os.lseek(self.log, max(0, os.fstat(self.log).st_size - LOG), os.SEEK_SET)
        said = os.read(self.log, LOG).decode(errors="replace")
        os.close(self.log)
        os.close(self.reader)
        return said


def follow(children, load_seconds, seconds):
    """Hear children until they end; their time for work begins when the last has loaded torch."""
    deadline = time.monotonic() + load_seconds
    loaded = None
    waiting = {child.reader: child for child in children}
    while waiting and time.monotonic() < deadline:
        ready, _w, _x = select.select(list(waiting), [], [], max(0.0, deadline - time.monotonic()))
        for reader in ready:
            if not waiting[reader].hear():
                del waiting[reader]
        if loaded is None and all(child.step("loaded") or child.step("failed") for child in children):
            loaded = time.monotonic()
            deadline = loaded + seconds
    return loaded


def look(tell):
    import torch

    tell("loaded", version=torch.__version__, cuda=getattr(torch.version, "cuda", None))
    if not getattr(torch.version, "cuda", None):
        return
    # is_available() answers False for any trouble; this says which.
    torch.cuda.init()
    devices = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        # Initialising is not enough: a card that the engine has no code for fails at its first kernel.
        total = float(torch.ones(1024, device=f"cuda:{index}").sum().item())
        if total != 1024.0:
            raise ArithmeticError(f"device {index} sums 1024 ones to {total}")
        devices.append({"name": properties.name, "uuid": str(getattr(properties, "uuid", "") or "")})
    tell("devices", devices=devices)


def reduce(rank, ranks, backend, port, seconds):
    def work(tell):
        import datetime

        import torch
        import torch.distributed as dist

        device = f"cuda:{rank}" if backend == "nccl" else "cpu"
        if backend == "nccl":
            torch.cuda.set_device(rank)
        tell("loaded")
        patience = datetime.timedelta(seconds=seconds)
        dist.init_process_group(
            backend, init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks, timeout=patience
        )

        def once():
            tensor = torch.full((ELEMENTS,), float(rank + 1), device=device)
            dist.all_reduce(tensor)
            if backend == "nccl":
                torch.cuda.synchronize()
            return tensor

        # NCCL connects at the first use.
        first = once()
        tell("joined")
        start = time.monotonic()
        for _round in range(ROUNDS):
            tensor = once()
        took = (time.monotonic() - start) / ROUNDS
        wanted = ranks * (ranks + 1) / 2
        right = all(float(each.min()) == wanted == float(each.max()) for each in (first, tensor))
        # What each GPU sends and receives in a ring.
        tell("reduced", right=right, gbytes_per_second=4 * ELEMENTS * 2 * (ranks - 1) / ranks / took / 1e9)

    return work


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def try_torch(request):
    child = Child(look, {})
    follow([child], request["load_seconds"], request["cuda_seconds"])
    said = child.end()
    loaded, failed, devices = child.step("loaded"), child.step("failed"), child.step("devices")
    found = {"devices": devices["devices"] if devices else []}
    found.update({name: loaded[name] for name in ("version", "cuda")} if loaded else {})
    if failed:
        found["error"] = failed["error"]
    elif not child.step("done"):
        doing = "CUDA did not initialise" if loaded else "torch did not load"
        limit = request["cuda_seconds"] if loaded else request["load_seconds"]
        found["error"] = f"{doing} within {limit} s, or its process died: {said[-1000:].strip()}"
    return found


def try_reduce(request, environment, seconds):
    ranks, backend = request["ranks"], request["backend"]
    environment = {"NCCL_DEBUG": os.environ.get("NCCL_DEBUG", "WARN"), **environment}
    port = free_port()
    children = [Child(reduce(rank, ranks, backend, port, seconds), environment) for rank in range(ranks)]
    start = time.monotonic()
    loaded = follow(children, request["load_seconds"], seconds)
    took = time.monotonic() - (loaded or start)
    said = [child.end() for child in children]
    done = [child.step("reduced") for child in children]
    errors = [child.step("failed")["error"] for child in children if child.step("failed")]
    stage = "loading" if loaded is None else "joining" if not all(c.step("joined") for c in children) else "summing up"
    return {
        "backend": backend,
        "ok": all(one and one["right"] for one in done),
        "wrong": any(one and not one["right"] for one in done),
        "stage": stage,
        "seconds": round(took, 2),
        "gbytes_per_second": round(min(one["gbytes_per_second"] for one in done), 2) if all(done) else None,
        "error": errors[0] if errors else "",
        "said": "\n".join(
            dict.fromkeys(line for text in said for line in text.splitlines() if "NCCL" in line or "rror" in line)
        )[-LOG:],
    }


def give_up(_number, _frame):
    for pid in CHILDREN:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    os._exit(3)


def main():
    request = json.loads(sys.argv[1])
    # A container's first process ignores signals that it has no handler for.
    signal.signal(signal.SIGALRM, give_up)
    signal.signal(signal.SIGTERM, give_up)
    signal.alarm(int(request["total_seconds"]))
    space = os.statvfs(SHARED_MEMORY) if os.path.isdir(SHARED_MEMORY) else None
    answer = {
        "python": sys.version.split()[0],
        "shared_mib": space.f_blocks * space.f_frsize // 2**20 if space else 0,
        "torch": try_torch(request),
    }
    if request["ranks"] > 1 and not answer["torch"].get("error"):
        heard = try_reduce(request, {}, request["reduce_seconds"])
        if not heard["ok"] and request["backend"] == "nccl":
            for names in VARIATIONS:
                if try_reduce(request, dict.fromkeys(names, "1"), VARIATION_SECONDS)["ok"]:
                    heard["works_with"] = " and ".join(names)
                    break
        answer["all_reduce"] = heard
    sys.stdout.write(f"\n{MARK}{json.dumps(answer)}\n")
    sys.stdout.flush()
    # Threads of a child that was left behind are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
