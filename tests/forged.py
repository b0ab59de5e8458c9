"""Made-up results with a digest that fits, for Python tests of what reads results."""
import hashlib
import json
import os


def canonical(value):
    """Keys sorted, no blanks, reals with 17 digits: what the digest of a result is of."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(k)}:{canonical(value[k])}" for k in sorted(value, key=lambda k: k.encode())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        return "%.17g" % value
    return json.dumps(value, ensure_ascii=False)


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
    run.pop("digest", None)
    run["id"] = text_digest(directory)[:16]
    run["digest"] = hashlib.sha256(canonical(run).encode()).hexdigest()
    os.makedirs(directory)
    with open(os.path.join(directory, "run.json"), "w") as f:
        json.dump(run, f, ensure_ascii=False)
    return run["id"]
