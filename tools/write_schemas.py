"""Write `schemas/*.schema.json` from the documents: run it after a contract has changed, and read what it changed."""

from __future__ import annotations

import json
from pathlib import Path

from shvit_mobile.contracts.schemas import DOCUMENT_TYPES, build_json_schema

FOLDER = Path(__file__).parent.parent / "schemas"


def main() -> None:
    for document in DOCUMENT_TYPES:
        path = FOLDER / f"{document.NAME}.schema.json"
        path.write_text(json.dumps(build_json_schema(document), indent=1) + "\n", encoding="utf-8")
        print(path.relative_to(FOLDER.parent))


if __name__ == "__main__":
    main()
