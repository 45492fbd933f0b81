"""All documents of the project and their JSON Schemas; `tools/write_schemas.py` writes these to `schemas/`."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.document import CHECKSUM_FIELD, Document
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.goldens import Goldens
from shvit_mobile.contracts.instruction_report import InstructionReport
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.contracts.sensitivity import SensitivityReport

DOCUMENT_TYPES: tuple[type[Document], ...] = (
    Manifest,
    Recipe,
    Goldens,
    DriftReport,
    DeviceReport,
    SensitivityReport,
    ModelReport,
    InstructionReport,
)


class UntitledJsonSchema(GenerateJsonSchema):
    """A generator that gives fields no title, which would only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def build_json_schema(document: type[Document]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a document as it is written.

    Fields with defaults are optional, so that files of earlier minor versions stay valid, except for the version and
    the kind. Unknown fields are allowed: they may belong to a later minor version.
    """
    schema = document.model_json_schema(mode="serialization", schema_generator=UntitledJsonSchema)
    if document.HAS_CHECKSUM:
        schema["properties"][CHECKSUM_FIELD] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:shvit-mobile:{document.NAME}:{document.get_version()}",
        **schema,
        "required": sorted({*schema["required"], "schema_version", "kind"}),
    }
