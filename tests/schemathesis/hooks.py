"""What Schemathesis cannot draw: bodies that are bytes, names that exist, requests that can succeed.

The test writes what exists into the file SEEDS; how often each operation was answered with which status goes into the
file ANSWERS.
"""

import atexit
import base64
import collections
import json
import os

import schemathesis
from hypothesis import strategies
from schemathesis.generation import GenerationMode

with open(os.environ["SEEDS"], encoding="utf-8") as file:
    SEEDS = json.load(file)

# Bodies that are bytes are one that exists, or any.
BINARY = {media_type: base64.b64decode(body) for media_type, body in SEEDS["bodies"].items()}

for media_type, body in BINARY.items():
    strategy = strategies.just(body) | strategies.binary(max_size=64)
    schemathesis.openapi.media_type(media_type, strategy)


@schemathesis.serializer(*BINARY)
def as_they_are(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


def whole(value):
    """JSON Schema calls 1.0 an integer, and no schema can say otherwise. Here an integer is written as one."""
    if isinstance(value, dict):
        return {name: whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.hook
def map_body(context, body):
    return whole(body)


turns = collections.Counter()
answers = collections.defaultdict(collections.Counter)


def name_of(case):
    return case.operation.definition.raw["operationId"]


def is_good(case):
    return case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE


@schemathesis.hook
def before_call(context, case, kwargs):
    """Two of three good requests are about what exists; the third is as it was drawn."""
    if not is_good(case):
        return
    operation = name_of(case)
    turns[operation] += 1
    if turns[operation] % 3 == 0:
        return
    seed = SEEDS["operations"].get(operation, {})
    path = {name: SEEDS["names"][name] for name in case.path_parameters or {} if name in SEEDS["names"]}
    path |= seed.get("path", {})
    if not path and not seed:
        # Whatever is changed is judged again, and bytes are no string of a schema.
        return
    if path:
        case.path_parameters = {**case.path_parameters, **path}
    # Every other time what is drawn of the query stays: filters of lists, pages.
    if "query" in seed:
        case.query = dict(seed["query"])
    elif turns[operation] % 3 == 1:
        case.query = {}
    if "Last-Event-ID" in (case.headers or {}):
        case.headers = {name: value for name, value in case.headers.items() if name != "Last-Event-ID"}
    if "body" in seed:
        case.media_type = "application/json"
        case.body = seed["body"]


@schemathesis.hook
def after_call(context, case, response):
    answers[name_of(case)][str(response.status_code)] += 1


@atexit.register
def tell():
    with open(os.environ["ANSWERS"], "w", encoding="utf-8") as file:
        json.dump(answers, file)
