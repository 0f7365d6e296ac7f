"""Workers that are tasks of a Ray cluster, which may lose any of them at any moment.

A process of its own, the gateway, is connected to the cluster, since Ray ends a process whose
cluster is gone. It hands bundles over and tells what became of them; what is lost is begun again,
and so is the gateway.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import math
import multiprocessing.connection
import os
import pickle
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.remote import PLACES
from wherefrom.shown import count_of
from wherefrom.study import cost
from wherefrom.study.attempt import Ask, Node, Report, attempt, probe
from wherefrom.study.board import PROBES, Board
from wherefrom.study.processes import THREADS
from wherefrom.study.stage import TRAINED, Stage
from wherefrom.study.store import Store, versions
from wherefrom.study.worker import FAILED, Failure, Told

__all__ = ["Cluster"]

#: How often a bundle is begun again after its worker died without getting further, after it told
#: nothing for too long, and on other nodes after one that lacks something.
_DEATHS, _HANGS, _MOVES = 5, 1, 2
#: Seconds that a cluster has to begin with, which include those of its nodes' first processes.
_ANSWER = 180.0
#: Seconds to wait for a cluster that went away, and before it is said what nothing runs for.
_AWAY, _STUCK = 600.0, 600.0
#: Seconds between two looks at the nodes, and that a probe may take.
_NODES, _PROBE = 5.0, 60.0
#: Clocks that are apart by more are said.
_SKEW = 30.0


@dataclass
class _Sent:
    """A bundle that is handed over, and what has happened to it."""

    bundle: list[Stage]
    reached: object = None
    deaths: int = 0
    hangs: int = 0
    avoid: set[str] = field(default_factory=set)
    heard: float = 0.0
    stage: Told | None = None


class Cluster:
    """Tasks of a Ray cluster, one for each bundle.

    Parameters
    ----------
    address : str
        ``auto``, ``local`` or ``HOST:PORT``.
    store : Store
        That all nodes see.
    todo : list of Stage
        All that may be handed over.
    workers : int, optional
        Bundles at a time; by default as many as the cluster has room for.
    patience : float
        Seconds that a stage may tell nothing, or 20 times its planned time if that is longer.
    each : int
        Cores, or GPUs, of each pre-training.
    board : Board
        Hears what workers tell, and news of the cluster.
    """

    def __init__(
        self,
        address: str,
        store: Store,
        todo: list[Stage],
        workers: int | None,
        patience: float,
        each: int,
        board: Board,
    ) -> None:
        self.address, self.store, self.workers = address, store, workers
        self.hear, self.say, self.beat = board.hear, board.say, board.beat
        self.each = each
        self.ask = Ask(
            folder=str(Path.cwd()),
            token=board.call,
            store=store,
            versions=versions(),
            data=_data_of(todo),
            files=tuple(sorted({file for stage in todo for file in stage.files})),
            patience=patience,
            device=os.environ.get("WHEREFROM_DEVICE"),
        )
        self.trains = any(stage.kind in TRAINED for stage in todo)
        self.nodes: dict[str, Node] = {}
        self.unfit: dict[str, str] = {}
        self.blind: set[str] = set()
        self.sent: dict[int, _Sent] = {}
        self.numbers = itertools.count()
        self.done: list[tuple[list[Stage], list[Failure]]] = []
        #: Workers that died, and bundles that were begun again for it.
        self.lost = 0
        self.heard = time.monotonic()

    # What `wherefrom.study.run` asks of workers.

    def __enter__(self) -> Cluster:
        if importlib.util.find_spec("ray") is None:
            raise WherefromError(parallel.NO_RAY)
        self.store.note(PROBES, self.ask.token, "")
        try:
            if line := self._connect():
                raise WherefromError(line)
            self._refuse_few()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "pipe"):
            self.pipe.close()  # the gateway ends, and what it has running on the cluster
            self.process.join(20)
            self.process.kill()
            self.process.join()
        for name in self.store.notes(PROBES):
            if name.startswith(self.ask.token):
                self.store.forget(PROBES, name)

    @property
    def room(self) -> int:
        """How many more bundles may be begun: as many again wait, so that no worker does."""
        fit = [node for id, node in self.nodes.items() if id not in self.unfit]
        slots = sum(node.gpus if self.gpus else node.cpus for node in fit) // self.each
        most = max(2, 2 * int(slots))
        return max(0, min(most, self.workers or most) - len(self.sent))

    @property
    def busy(self) -> bool:
        """Whether something runs, or is to be given back."""
        return bool(self.sent or self.done)

    @property
    def gpus(self) -> bool:
        """Whether something is trained on GPUs: the cluster has some, and nobody says otherwise."""
        has = any(node.gpus for node in self.nodes.values())
        return self.trains and has and os.environ.get("WHEREFROM_DEVICE") != "cpu"

    def begin(self, bundle: list[Stage]) -> None:
        """Hand a bundle over."""
        number = next(self.numbers)
        self.sent[number] = _Sent(bundle, heard=time.monotonic())
        self._submit(number)

    def ended(self, seconds: float) -> Iterator[tuple[list[Stage], list[Failure]]]:
        """Wait so long at most for bundles that are through, and give each with what failed."""
        limit = time.monotonic() + seconds
        while not self.done and (left := limit - time.monotonic()) > 0:
            self._listen(left)
        ended, self.done = self.done, []
        yield from ended

    # The gateway.

    def _connect(self) -> str:
        """Start a gateway and wait until it is connected; return why it is not, or nothing."""
        ours = {
            name: text
            for name, text in os.environ.items()
            if name.startswith("WHEREFROM_") or name in PLACES
        }
        self.pipe, theirs = parallel.SPAWNED.Pipe()
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # is ours to see
        try:
            self.process: Any = parallel.SPAWNED.Process(
                target=_gateway, args=(theirs, self.pipe, self.address, self.ask, ours)
            )
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        theirs.close()
        while True:
            limit = time.monotonic() + _ANSWER
            while not self.pipe.poll(1) and time.monotonic() < limit:
                self.beat()
            if not self.pipe.poll():
                return f"the Ray cluster {self.address!r} does not answer for {_ANSWER:.0f} s"
            try:
                event = self.pipe.recv()
            except (EOFError, OSError):
                return f"the Ray cluster {self.address!r} ended the connection at once"
            if event[0] == "refused":
                return str(event[1])
            self._take(event)
            if event[0] == "nodes":
                return ""

    def _refuse_few(self) -> None:
        """Refuse more devices for a pre-training than any node has."""
        what = "GPUs" if self.gpus else "cores"
        most = max((n.gpus if self.gpus else n.cpus for n in self.nodes.values()), default=0.0)
        if 0 < most < self.each:
            raise WherefromError(
                f"{self.each} devices for each pre-training, and no node of the Ray cluster "
                f"{self.address} has more than {most:.0f} {what}: ask for so many, or add a node"
            )

    def _listen(self, seconds: float) -> None:
        ready = multiprocessing.connection.wait([self.pipe, self.process.sentinel], min(seconds, 1))
        if self.pipe in ready or self.process.sentinel in ready:
            try:
                while self.pipe.poll():
                    self._take(self.pipe.recv())
            except (EOFError, OSError):
                self._again()
        self._see_to_it_that_something_runs()

    def _again(self) -> None:
        """Connect anew after the cluster, or the gateway, went away."""
        self.pipe.close()
        self.process.join(5)
        self.process.kill()
        self.say(f"the Ray cluster {self.address} is gone; waiting for it")
        self.lost += len(self.sent)
        limit = time.monotonic() + _AWAY
        self.unfit.clear()
        while line := self._connect():
            self.pipe.close()
            self.process.join(5)
            self.process.kill()
            if time.monotonic() > limit:
                raise WherefromError(
                    f"the Ray cluster {self.address} went away and did not come back in "
                    f"{_AWAY / 60:.0f} min ({line}); what was finished is kept: start it, and run "
                    "the same command to go on"
                )
            self.beat()
            time.sleep(2)
        self.say(f"the Ray cluster {self.address} is back")
        for number in self.sent:
            self._submit(number)

    def _submit(self, number: int) -> None:
        sent = self.sent[number]
        sent.stage = None
        each = self.each if any(stage.kind == "pretrain" for stage in sent.bundle) else 1
        needs: dict[str, Any] = {"num_cpus": each}
        avoid = sent.avoid | self.unfit.keys()
        if self.gpus and any(stage.kind in TRAINED for stage in sent.bundle):
            shares = [node.cpus * each // node.gpus for node in self.nodes.values() if node.gpus]
            needs = {"num_gpus": each, "num_cpus": max(1, int(min(shares)))}
            avoid |= self.blind
        if most := max((node.memory for node in self.nodes.values()), default=0.0):
            # A node that has less than is estimated is tried with nothing beside it.
            needs["memory"] = min(max(map(cost.memory, sent.bundle)), most)
        if gone := sorted(avoid & self.nodes.keys()):
            needs["label_selector"] = {"ray.io/node-id": f"!in({','.join(gone)})"}
        with contextlib.suppress(OSError):  # the next look sees that the gateway is gone
            self.pipe.send((number, pickle.dumps(sent.bundle), needs))

    # What the gateway tells.

    def _take(self, event: tuple[Any, ...]) -> None:
        what, *rest = event
        if what != "nodes":
            self.heard = time.monotonic()
        if what == "told":
            for told in rest[0]:
                self._told(told)
        elif what == "nodes":
            self.nodes = {
                id: node._replace(gpus=0.0) if id in self.blind else node
                for id, node in rest[0].items()
            }
            self._report(rest[1])
        elif what == "defect":
            raise RuntimeError(f"{rest[0]}\nthis is a defect of wherefrom")
        elif rest[0] in self.sent:
            getattr(self, f"_{what}")(*rest)

    def _told(self, told: Told | str) -> None:
        if isinstance(told, str):
            self.hear(told)
            return
        for sent in self.sent.values():
            if any(stage.key == told.key for stage in sent.bundle):
                sent.heard, sent.stage = time.monotonic(), told
                self.hear(told)

    def _report(self, reports: list[Report]) -> None:
        """Say what is wrong with nodes; refuse to go on if there is none to work on."""
        for one in reports:
            if one.unfit and one.node not in self.unfit:
                self.unfit[one.node] = f"{one.host}: {one.unfit}"
                self.say(f"left out the node {self.unfit[one.node]}")
            if abs(one.clock) > _SKEW:
                how = "ahead of" if one.clock > 0 else "behind"
                self.say(
                    f"the clock of the node {one.host} is {abs(one.clock):.0f} s {how} the one "
                    "here: set both, or times are wrong and object storage may refuse it"
                )
        whole = [id for id, node in self.nodes.items() if node.cpus]
        if whole and all(id in self.unfit for id in whole):
            why = "; ".join(dict.fromkeys(self.unfit[id] for id in whole))
            raise WherefromError(f"no node of the Ray cluster {self.address} can be used: {why}")

    def _ended(self, number: int, failures: list[Failure], node: str) -> None:
        sent = self.sent[number]
        if any(one.elsewhere for one in failures) and len(sent.avoid) < _MOVES:
            sent.avoid.add(node)
            if {id for id, one in self.nodes.items() if one.cpus} - sent.avoid - {*self.unfit}:
                for one in failures:
                    self.say(f"tried again on another node: {one.message}")
                self._submit(number)
                return
        self._give(number, failures)

    def _refused(self, number: int, report: Report) -> None:
        """Begin on another node what one refuses that was not there when the run began."""
        self._report([report])
        self._submit(number)

    def _blind(self, number: int, node: str, host: str) -> None:
        """Count no GPU of a node whose torch sees none."""
        if node not in self.blind:
            self.blind.add(node)
            self.nodes[node] = self.nodes[node]._replace(gpus=0.0)
            rest = "" if self.gpus else ", and no other has one: stages run on CPUs"
            self.say(f"the node {host} has a GPU by Ray, and torch sees none there{rest}")
        self._submit(number)

    def _preempted(self, number: int, node: str, host: str) -> None:
        self.lost += 1
        self.say(
            f"{self._name(number)}: its worker on {host} was told to end; begun again from where "
            "it was"
        )
        if {*self.nodes} - {node}:
            self.sent[number].avoid.add(node)
        self._submit(number)

    def _lost(self, number: int, why: str) -> None:
        """Begin again what was lost with its worker, unless that happens each time."""
        self.lost += 1
        sent, name = self.sent[number], self._name(number)
        done = self.store.finished(sent.bundle)
        rest = [stage for stage in sent.bundle if stage.key not in done]
        if not rest:  # it died with the answer
            self._give(number, [])
            return
        reached = (len(done), [self.store.reached(stage.kind, stage.key) for stage in rest])
        sent.deaths = 1 if reached != sent.reached else sent.deaths + 1
        sent.reached = reached
        limit = self.ask.limit(sent.stage) if sent.stage else math.inf
        hung = time.monotonic() - sent.heard >= 0.95 * limit
        if hung:
            sent.hangs += 1
            why = f"told nothing for {limit:.3g} s"
        if sent.deaths > _DEATHS or sent.hangs > _HANGS:
            often = sent.hangs if hung else sent.deaths
            said = f"{name}: {why}, {often} times without getting further"
            remedy = "; see the logs of Ray (`ray logs`)"
            if hung:
                remedy = "; allow it more (--patience), or see the logs of Ray (`ray logs`)"
            with contextlib.suppress(WherefromError):
                self.store.note(FAILED, f"{rest[0].kind}-{rest[0].key}", f"{said}\n")
            self._give(number, [Failure(said + remedy, False)])
            return
        self.say(f"{name}: {why}; begun again")
        sent.heard = time.monotonic()
        self._submit(number)

    def _name(self, number: int) -> str:
        stage = self.sent[number].stage
        return f"{stage.label} (on {stage.where})" if stage else self.sent[number].bundle[0].label

    def _give(self, number: int, failures: list[Failure]) -> None:
        self.done.append((self.sent.pop(number).bundle, failures))

    def _see_to_it_that_something_runs(self) -> None:
        """Give up where no node could take what waits."""
        if any(sent.stage for sent in self.sent.values()):
            self.heard = time.monotonic()  # what runs ends, or is ended, by itself
        if not self.sent or time.monotonic() - self.heard < _STUCK:
            return
        self.heard = time.monotonic()
        fit = [node for id, node in self.nodes.items() if id not in self.unfit]
        if any((node.gpus if self.gpus else node.cpus) >= self.each for node in fit):
            self.say(
                f"{count_of(len(self.sent), 'bundle')} of stages wait for room on the Ray cluster "
                f"{self.address}"
            )
            return
        raise WherefromError(
            f"the Ray cluster {self.address} has had no node for the stages that are left for "
            f"{_STUCK / 60:.0f} min; what was finished is kept: add a node, and run the same "
            "command to go on"
        )


def _data_of(todo: list[Stage]) -> dict[str, dict[str, str]]:
    """Gather the layers and sources that stages depend on, with the hashes of what they hold."""
    found: dict[str, dict[str, str]] = {"layers": {}, "sources": {}}

    def gather(spec: Any) -> None:
        if isinstance(spec, list | tuple):
            for one in spec:
                gather(one)
        elif isinstance(spec, dict):
            for name, inner in spec.items():
                if name in found and isinstance(inner, dict):
                    found[name] |= inner
                else:
                    gather(inner)

    for stage in todo:
        gather(stage.spec)
    return found


def _gateway(pipe: Any, other: Any, address: str, ask: Ask, variables: dict[str, str]) -> None:
    """Stand between one process and the cluster until that process, or the cluster, is gone."""
    other.close()
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    try:
        ray = parallel.connected(address)
    except WherefromError as err:
        pipe.send(("refused", str(err)))
        return
    try:
        _Gateway(ray, pipe, ask, variables).serve()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the one who asked is gone
    except Exception:
        if ray.is_initialized():
            with contextlib.suppress(OSError):
                pipe.send(("defect", traceback.format_exc()))
    finally:
        ray.shutdown()


class _Mailbox:
    """Where workers put what they tell until the gateway takes it."""

    def __init__(self) -> None:
        self.items: list[Told | str] = []

    def put(self, told: Told | str) -> None:
        self.items.append(told)

    def take(self) -> list[Told | str]:
        items, self.items = self.items, []
        return items


class _Gateway:
    """One connection to a cluster."""

    def __init__(self, ray: Any, pipe: Any, ask: Ask, variables: dict[str, str]) -> None:
        self.ray, self.pipe = ray, pipe
        self.variables = dict.fromkeys(THREADS, "1") | variables
        here = ray.get_runtime_context().get_node_id()
        self.box = (
            ray.remote(_Mailbox)
            .options(num_cpus=0, max_restarts=-1, scheduling_strategy=self._on(here, soft=True))
            .remote()
        )
        self.ask = ray.put(ask)
        self.tasks: dict[Any, int] = {}
        self.seen: set[str] = set()
        self.looked = self.fetched = 0.0
        self.mail: Any = None

    def _on(self, node: str, *, soft: bool) -> Any:
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        return strategies.NodeAffinitySchedulingStrategy(node, soft=soft)

    def _env(self, threads: int) -> dict[str, Any]:
        return {"env_vars": self.variables | dict.fromkeys(THREADS, str(threads))}

    def serve(self) -> None:
        """Hand over what comes through the pipe, and tell what becomes of it."""
        while True:
            self._look()
            while self.pipe.poll(0 if self.tasks else 0.05):
                number, bundle, needs = self.pipe.recv()
                task = self.ray.remote(attempt).options(
                    max_retries=0,
                    runtime_env=self._env(needs["num_cpus"]),
                    name="wherefrom:stages",
                    **needs,
                )
                gpus = needs.get("num_gpus", 0)
                self.tasks[task.remote(self.ask, bundle, self.box, gpus)] = number
            if self.mail is None and time.monotonic() - self.fetched > 0.25:
                self.mail = self.box.take.remote()
            waiting = [*self.tasks, *([self.mail] if self.mail is not None else [])]
            if not waiting:
                continue
            ready, _ = self.ray.wait(waiting, num_returns=1, timeout=0.05)
            for reference in ready:
                if reference is self.mail or reference == self.mail:
                    self._fetch()
                else:
                    self._end(reference)

    def _fetch(self) -> None:
        try:
            told = self.ray.get(self.mail)
        except self.ray.exceptions.RayError:
            told = []  # the mailbox begins anew where its node was lost
        self.mail, self.fetched = None, time.monotonic()
        if told:
            self.pipe.send(("told", told))

    def _end(self, reference: Any) -> None:
        number = self.tasks.pop(reference)
        errors = self.ray.exceptions
        try:
            what, *rest = self.ray.get(reference)
        except errors.RayTaskError as err:
            self.pipe.send(("defect", str(err)))
            return
        except errors.NodeDiedError:
            self.pipe.send(("lost", number, "its node was lost"))
        except errors.OutOfMemoryError:
            self.pipe.send(
                ("lost", number, "its worker was killed, for memory ran out on its node")
            )
        except errors.WorkerCrashedError:
            self.pipe.send(("lost", number, "its worker was killed"))
        except errors.RayError as err:
            said = str(err).strip().partition("\n")[0]
            self.pipe.send(("lost", number, f"the cluster lost it ({type(err).__name__}: {said})"))
        else:
            self.pipe.send((what, number, *rest))

    def _look(self) -> None:
        """Tell which nodes there are, and what a first look at new ones finds."""
        if self.looked and time.monotonic() - self.looked < _NODES:
            return
        found = {
            one["NodeID"]: Node(
                host=one["NodeManagerHostname"],
                cpus=one["Resources"].get("CPU", 0.0),
                gpus=one["Resources"].get("GPU", 0.0),
                memory=one["Resources"].get("memory", 0.0),
            )
            for one in self.ray.nodes()
            if one["Alive"]
        }
        reports = self._probed([id for id in found if found[id].cpus and id not in self.seen])
        self.seen |= {*found}
        self.looked = time.monotonic()
        self.pipe.send(("nodes", found, reports))

    def _probed(self, nodes: list[str]) -> list[Report]:
        began = time.time()
        task, env = self.ray.remote(probe), self._env(1)
        asked = [
            task.options(
                num_cpus=0,
                max_retries=0,
                runtime_env=env,
                name="wherefrom:probe",
                scheduling_strategy=self._on(node, soft=False),
            ).remote(self.ask)
            for node in nodes
        ]
        ready, _ = (
            self.ray.wait(asked, num_returns=len(asked), timeout=_PROBE) if asked else ([], 0)
        )
        reports: list[Report] = []
        for one in ready:
            # A node that was lost meanwhile is not in the next list.
            with contextlib.suppress(self.ray.exceptions.RayError):
                report = self.ray.get(one)
                ended = time.time()
                # It looked at its clock between our asking and its answer.
                skew = report.clock - min(max(report.clock, began), ended)
                reports.append(report._replace(clock=skew))
        return reports
