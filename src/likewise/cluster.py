"""A Ray cluster to work on: the one that runs, or the cores and GPUs of this machine as one.

``ray`` is an extra (``pip install "likewise[ray]"``) and is imported here alone, when it is asked for. The cluster is the one
that this process is connected to already; else the one that ``RAY_ADDRESS`` names or that was started on this machine
(``ray start --head``); else a new one on this machine, which ends with the work.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from likewise.errors import RunError

__all__ = ["Cluster", "ray_cluster"]

logger = logging.getLogger("likewise")

#: What the processes of the cluster must know as this one does.
_HANDED_ON = ("LIKEWISE_HOME", "LIKEWISE_OFFLINE", "HF_HUB_OFFLINE", "HF_HOME")


@dataclass(frozen=True)
class Cluster:
    """A connected cluster.

    Args:
        ray: the module, connected.
        cpus: of all its machines.
        gpus: of all its machines.
        most_cpus: of its largest machine.
    """

    ray: Any
    cpus: int
    gpus: int
    most_cpus: int

    def share(self, jobs: int | None) -> tuple[int, dict[str, Any]]:
        """How many pieces of work run at a time, and what each of them takes of the cluster.

        Args:
            jobs: at most so many; by default one for each GPU, or for each core where there are none.
        """
        wanted = jobs or self.gpus or self.cpus
        cpus = max(1, min(self.cpus // wanted, self.most_cpus))
        gpus = min(1.0, self.gpus / wanted) if self.gpus else 0.0
        return wanted, {"num_cpus": cpus, "num_gpus": gpus}


@contextmanager
def ray_cluster() -> Iterator[Cluster]:
    """Connect to a cluster for the time of the block.

    Raises:
        RunError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise RunError(
            "Ray is not installed.",
            expected="Expected it for --engine ray.",
            advice='pip install "likewise[ray]", or leave --engine out.',
        ) from error
    module: Any = ray  # parts of it have no types
    connected = module.is_initialized()
    if not connected:
        _connect(module)
    try:
        resources = module.cluster_resources()
        nodes = [node["Resources"].get("CPU", 0) for node in module.nodes() if node["Alive"]]
        cluster = Cluster(
            module, int(resources.get("CPU", 1)), int(resources.get("GPU", 0)), int(max(nodes, default=1))
        )
        logger.info("Ray: %d machines, %d cores, %d GPUs", len(nodes), cluster.cpus, cluster.gpus)
        yield cluster
    finally:
        if not connected:
            module.shutdown()


def _connect(ray: Any) -> None:
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    environment = {"env_vars": {name: os.environ[name] for name in _HANDED_ON if name in os.environ}}
    try:
        ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), runtime_env=environment, **quiet)
    except ConnectionError as error:
        if "RAY_ADDRESS" in os.environ:
            raise RunError(
                f"The Ray cluster at RAY_ADDRESS={os.environ['RAY_ADDRESS']} cannot be reached ({error}).",
                expected="Expected the address of a running cluster.",
                advice="Correct or unset RAY_ADDRESS; without it the cluster on this machine is taken, or one is started.",
            ) from error
        ray.init(include_dashboard=False, runtime_env=environment, **quiet)
