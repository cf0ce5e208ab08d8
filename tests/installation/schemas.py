"""Writes the schemas that kubeconform judges by: those that an API server publishes, which refuse what they do not name."""

import json

# As kubeconform fills it in.
TEMPLATE = "{{ .ResourceKind }}{{ .KindSuffix }}.json"


def write(api, folder):
    """One file a kind that the server knows; returns the location to name to kubeconform."""
    folder.mkdir()
    definitions = api.get("/openapi/v2")["definitions"]
    kinds = {}
    for name, definition in definitions.items():
        for kind in definition.pop("x-kubernetes-group-version-kind", []):
            kinds[name] = kind
    for definition in definitions.values():
        strict(definition)
    for name, kind in kinds.items():
        group = kind["group"].split(".")[0]
        file = "-".join(filter(None, [kind["kind"].lower(), group, kind["version"]])) + ".json"
        schema = {"$ref": f"#/definitions/{name}", "definitions": used(definitions, name)}
        (folder / file).write_text(json.dumps(schema))
    return f"{folder}/{TEMPLATE}"


def strict(schema):
    if isinstance(schema, list):
        for item in schema:
            strict(item)
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("properties"), dict) and "type" in schema and schema["type"] == "object":
        schema.setdefault("additionalProperties", False)
    # Two kinds of values that the server takes, and its document calls strings.
    if schema.get("format") == "int-or-string":
        schema["type"] = ["string", "integer"]
        del schema["format"]
    for name, part in schema.items():
        if name == "io.k8s.apimachinery.pkg.api.resource.Quantity":
            part["type"] = ["string", "number"]
        strict(part)


def used(definitions, name):
    """The definition of that name, and all that it names in turn."""
    found, left = {}, [name]
    while left:
        name = left.pop()
        if name not in found:
            found[name] = definitions[name]
            left += names(definitions[name])
    return found


def names(schema):
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix("#/definitions/")
        for part in schema.values():
            yield from names(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from names(part)
