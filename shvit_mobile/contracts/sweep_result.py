"""What came of one job of a sweep: `result.json` in the job's folder, written last."""

from typing import Annotated, Literal

from pydantic import Field

from shvit_mobile.contracts.document import Count, FileName, JsonFile, JsonFloat, Proportion, Sha256
from shvit_mobile.errors import BadReport

SWEEP_RESULT_FILE = "result.json"
JobStatus = Literal["done", "gate failed", "failed"]


class SweepResult(JsonFile):
    """The result of one job: one row of a sweep's table.

    Attributes:
        job: The job's name, which is that of its folder.
        key: The SHA-256 of everything that decides the artifact: options, version, and the content of the checkpoint.
        checkpoint: As in the sweep file; "demo" for the embedded model.
        size: (height, width) in pixels.
        delegate: Of an ExecuTorch program; None for other targets.
        max_drop: The budget, in points of top-1 or of average precision.
        status: "gate failed" if the artifact is there but loses more than it may, "failed" if there is none.
        error: Why there is no artifact, or what the gate found; empty if all is well.
        artifact, sha256, bytes: The artifact's file name, SHA-256 and size; None if there is none.
        sqnr_db, agreement, top1, top1_drop: Its drift; None without images to compare on. Of several maps, the SQNR of
            the worst; of a detector, the agreement of boxes.
        ap, ap_drop: A detector's average precision, in percent, and the points that it lost; None without boxes.
        quantized_layers: The number of its layers in int8.
        seconds: How long the job took, in seconds.
    """

    ERROR = BadReport
    TITLE = "the result of a sweep's job"

    job: FileName
    key: Sha256
    checkpoint: str
    size: tuple[int, int] | None
    task: str
    target: str
    delegate: str | None
    precision: str
    max_drop: float | None
    status: JobStatus
    error: str = ""
    artifact: FileName | None = None
    sha256: Sha256 | None = None
    bytes: Count | None = None
    sqnr_db: JsonFloat | None = None
    agreement: Proportion | None = None
    top1: Proportion | None = None
    top1_drop: float | None = None
    ap: float | None = None
    ap_drop: float | None = None
    quantized_layers: Count | None = None
    seconds: Annotated[float, Field(ge=0)]
