"""Made-up results with a digest that fits, for Python tests of what reads results."""
import hashlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from forge_run import save  # noqa: E402


def put(run, pointer, value):
    *way, last = pointer.strip("/").split("/")
    for key in way:
        if not isinstance(run.get(key), dict):
            run[key] = {}
        run = run[key]
    run[last] = value


def text_digest(*of):
    return hashlib.sha256(repr(of).encode()).hexdigest()


def write(run, directory):
    """DIRECTORY/run.json, with an id of its own."""
    run["id"] = text_digest(directory)[:16]
    save(run, os.path.join(directory, "run.json"))
    return run["id"]
