#!/usr/bin/env python3
"""results/schema/run.schema.json and fields.md, out of harness/result_keys.def and harness/result_schema.in.json.

    schema.py            writes both (make schema)
    schema.py --check    exit status 1 when a committed file is not what would be written

Every line of result_keys.def becomes a property with its description, the rule that null needs a reason and a value has none, and
unless it came later is required. What kind of number it is follows from the unit at its end; where it does not, result_schema.in.json
says so, which holds everything else too.
"""
import difflib
import json
import os
import re
import sys

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
KEYS, REST, TO = "harness/result_keys.def", "harness/result_schema.in.json", "results/schema"
WIDE = 150


def read_keys():
    lines = [line for line in open(KEYS, encoding="utf-8") if line.startswith("KEY")]
    keys = [re.fullmatch(r'(KEY|KEY_LATER)\((\w+), +(\w+), +"(.*)"\)\n', line) for line in lines]
    for line, key in zip(lines, keys):
        if key is None:
            sys.exit(f"{KEYS}: not a field: {line.strip()}")
    return [key.groups() for key in keys]


def unit(key):
    return "count" if key.endswith("_count") else "ratio" if key.endswith("_ratio") else "quantity"


def null_needs_a_reason(key, later):
    """Null with a reason, or a value without; of those that came later: when it is there at all."""
    reason = {"required": [key + "_reason"]}
    is_null = {"properties": {key: {"type": "null"}}}
    if later:
        is_null["required"] = [key]
    return {"if": is_null, "then": reason, "else": {"not": reason}}


def make_schema(keys):
    schema = json.load(open(REST, encoding="utf-8"))
    for block in dict.fromkeys(key[1] for key in keys):
        of = schema["properties"][block]
        said = of.pop("properties", {})
        rules = of.pop("allOf", [])
        mine = [(kind, key, text) for kind, where, key, text in keys if where == block]
        properties = {key: {**said.pop(key, {"$ref": f"#/definitions/{unit(key)}"}), "description": text} for _, key, text in mine}
        required = of.pop("required", []) + [key for kind, key, _ in mine if kind == "KEY"]
        if required:
            of["required"] = required
        of["properties"] = {**properties, **said}
        of["allOf"] = [null_needs_a_reason(key, kind == "KEY_LATER") for kind, key, _ in mine] + rules
    return schema


def text_of(value, at=0):
    """JSON, an object or list on one line where there is room."""
    short = json.dumps(value, ensure_ascii=False)
    if len(short) + at <= WIDE or not isinstance(value, (dict, list)) or not value:
        return short
    inner, outer = " " * (at + 2), " " * at
    if isinstance(value, dict):
        items = [f"{inner}{json.dumps(k)}: {text_of(v, at + 2)}" for k, v in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{outer}}}"
    if all(isinstance(v, str) for v in value):              # names: as many on a line as fit
        lines, line = [], ""
        for v in map(json.dumps, value):
            if line and len(inner + line + ", " + v) > WIDE:
                lines.append(line)
                line = ""
            line += (", " if line else "") + v
        return "[\n" + ",\n".join(inner + line for line in lines + [line]) + f"\n{outer}]"
    return "[\n" + ",\n".join(inner + text_of(v, at + 2) for v in value) + f"\n{outer}]"


def make_page(keys):
    page = ["# Numbers of run.json", "",
            "Made by `make schema` from `harness/result_keys.def`. Every run has each of these with a value or null and a reason; those marked",
            "* came later, and files written before are read without them. `results/README.md` has the rest.", ""]
    for block in dict.fromkeys(key[1] for key in keys):
        page += [f"## {block}", "", "| field | meaning |", "|---|---|"]
        page += [f"| `{key}`{'' if kind == 'KEY' else ' *'} | {text.replace('|', chr(92) + '|')} |" for kind, where, key, text in keys if where == block]
        page.append("")
    return "\n".join(page)


keys = read_keys()
wrong = False
for name, text in (("run.schema.json", text_of(make_schema(keys)) + "\n"), ("fields.md", make_page(keys))):
    path = f"{TO}/{name}"
    if sys.argv[1:] == ["--check"]:
        there = open(path, encoding="utf-8").read() if os.path.exists(path) else ""
        if there != text:
            wrong = True
            print(f"{path} is not what `make schema` writes:")
            print("\n".join(list(difflib.unified_diff(there.splitlines(), text.splitlines(), "committed", "made", lineterm="", n=0))[:20]))
    else:
        open(path, "w", encoding="utf-8").write(text)
sys.exit(wrong)
