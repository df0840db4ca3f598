"""Validates SOAP messages against the schemas of WSDL files.

Reads one JSON list from standard input: the folder of the WSDL files, then pairs of a file and a message. Writes a
JSON list of the same length as there are messages: an empty text for one that is valid, else what is wrong.
"""

import json
import os
import sys
import tempfile

from lxml import etree

XS = "{http://www.w3.org/2001/XMLSchema}"
WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
ENVELOPES = (
    "{http://schemas.xmlsoap.org/soap/envelope/}",
    "{http://www.w3.org/2003/05/soap-envelope}",
)


def schema_of(path, folder):
    """The schemas of a WSDL file as one, which knows the names of its elements."""
    types = etree.parse(path).getroot().find(WSDL + "types")
    parts = list(types.findall(XS + "schema"))
    files = {}
    for number, part in enumerate(parts):
        files[part.get("targetNamespace")] = "%s.%d.xsd" % (os.path.basename(path), number)
    for part in parts:
        for wanted in part.findall(XS + "import"):
            if wanted.get("namespace") in files:
                wanted.set("schemaLocation", files[wanted.get("namespace")])
        name = os.path.join(folder, files[part.get("targetNamespace")])
        etree.ElementTree(part).write(name)
    whole = etree.Element(XS + "schema")
    for namespace, name in files.items():
        part = etree.SubElement(whole, XS + "import", namespace=namespace)
        part.set("schemaLocation", name)
    name = os.path.join(folder, os.path.basename(path) + ".xsd")
    etree.ElementTree(whole).write(name)
    return etree.XMLSchema(etree.parse(name))


def problem(schema, text):
    root = etree.fromstring(text.encode("utf-8"))
    for envelope in ENVELOPES:
        if root.tag == envelope + "Envelope":
            (body,) = root.findall(envelope + "Body")
            (element,) = body
            if schema.validate(etree.ElementTree(element)):
                return ""
            return str(schema.error_log.last_error)
    return "no envelope: " + root.tag


def main():
    wsdl, messages = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        schemas = {}
        answers = []
        for name, text in messages:
            if name not in schemas:
                schemas[name] = schema_of(os.path.join(wsdl, name), folder)
            answers.append(problem(schemas[name], text))
    json.dump(answers, sys.stdout)


main()
