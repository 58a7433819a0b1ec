"""What schemathesis must not take for good: loaded by it through SCHEMATHESIS_HOOKS.

JSON Schema counts characters where the gateway counts bytes. Text that has few enough of the one and too many of the
other is neither valid nor invalid by openapi.json.
"""

import schemathesis

BYTES_MAX = {"user": 128, "reason": 123}


def is_between(name, value):
    """Does a text, here or deeper, fit by its characters and not by its bytes?"""
    if isinstance(value, dict):
        return any(is_between(key, inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(is_between(name, inner) for inner in value)
    limit = BYTES_MAX.get(name)
    return (
        limit is not None
        and isinstance(value, str)
        and len(value) <= limit < len(value.encode("utf-8", "surrogatepass"))
    )


@schemathesis.hook
def filter_case(_context, case):
    return not any(is_between(None, part) for part in (case.path_parameters, case.query, case.body))
