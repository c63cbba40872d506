"""
Several nodes meet: each tells the others its rank, over the address that levare gave to all of them.

    levare submit --nodes 2 -- python examples/gang/meet.py

What `torchrun` or MPI do first, in the standard library: rank 0 listens, the others come to it, and it tells all of
them who is there. By itself it is a gang of one.
"""

import json
import os
import socket
import sys
import time

PATIENCE_SECONDS = 60.0


def main() -> int:
    rank, size = int(os.environ.get("NODE_RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    address = os.environ.get("MASTER_ADDR", "127.0.0.1"), int(os.environ.get("MASTER_PORT", "0"))
    names = os.environ.get("LEVARE_NODES", socket.gethostname()).split(",")
    met = gather(address, rank, size) if rank == 0 else join(address, rank)
    for other in met:
        if other != rank:
            print(f"rank {rank} on {names[rank]} met rank {other} on {names[other]}", flush=True)
    return 0 if met == list(range(size)) else 1


def gather(address: tuple[str, int], rank: int, size: int) -> list[int]:
    """Wait for the others and tell each of them who is there."""
    with socket.create_server(("", address[1]), backlog=size) as server:
        server.settimeout(PATIENCE_SECONDS)
        others = [server.accept()[0] for _ in range(size - 1)]
    lines = [line_of(other) for other in others]
    met = sorted([rank, *(json.loads(line) for line in lines)])
    for other in others:
        other.sendall(f"{json.dumps(met)}\n".encode())
        other.close()
    return met


def join(address: tuple[str, int], rank: int) -> list[int]:
    with reach(address) as first:
        first.sendall(f"{rank}\n".encode())
        return json.loads(line_of(first))


def reach(address: tuple[str, int]) -> socket.socket:
    """Rank 0 may start later than we do."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return socket.create_connection(address, timeout=PATIENCE_SECONDS)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def line_of(connection: socket.socket) -> str:
    connection.settimeout(PATIENCE_SECONDS)
    with connection.makefile() as file:
        return file.readline()


if __name__ == "__main__":
    sys.exit(main())
