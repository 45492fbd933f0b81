"""The options of all commands, as annotated types: one help text each, in the panels of the help."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

MODEL_PANEL, TARGET_PANEL, IMAGES_PANEL, OUTPUT_PANEL = "Model", "Target", "Images", "Output"
PRECISION_PANEL, CALIBRATION_PANEL = "Precision", "Calibration"
_GATES_PANEL = "Gates (exit status 1 if one fails)"
INSPECTION_PANEL, CPU_PANEL = "Inside the artifacts", "Instruction sets"
CONTESTANTS_PANEL, TIMING_PANEL, TRAINING_PANEL, COMPARISON_PANEL = "Contestants", "Timing", "Training", "Comparison"
PHONE_PANEL = "Phone"
ChannelValues = tuple[float, float, float]

# Options that may be repeated take enumerations, because Typer has no lists of literals. The library's own lists of
# these names are slow to import; a test compares them.
TargetChoice = StrEnum("TargetChoice", "coreml executorch onnx litert coreai all")
DelegateChoice = StrEnum("DelegateChoice", "xnnpack coreml vulkan")
PrecisionChoice = StrEnum("PrecisionChoice", "fp32 fp16 int8 int8-dynamic int8-weights palette-8 palette-6 palette-4")
# In the order of the library's PTQ passes.
PassChoice = StrEnum("PassChoice", "exact-input equalize clip-weights gptq bias-correction none")
EngineChoice = StrEnum("EngineChoice", "executorch onnxruntime coreml coreai openvino mnn litert torch torch-compile")
CpuChoice = StrEnum("CpuChoice", "neon dotprod i8mm")
ComputeChoice = StrEnum("ComputeChoice", "cpu cpu-and-gpu cpu-and-neural-engine all")
# Earlier names of choices, which stay accepted.
OLD_CHOICES = {
    "whole-pixels": "exact-input",
    "equalise": "equalize",
    "clip": "clip-weights",
    "round": "gptq",
    "bias": "bias-correction",
}


def replace_old_choice(token: str) -> str:
    """Return the present name of a choice; Click asks for that of every choice and option."""
    return OLD_CHOICES.get(token, token)


def option(panel: str | None, help: str, *names: str, metavar: str | None = None, **more: Any) -> Any:
    """Return the declaration of an option, whose help states the default itself."""
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar, show_default=False, **more)


# The model
Checkpoint = Annotated[
    str | None,
    option(
        MODEL_PANEL,
        "A .pth or .safetensors file, a folder with a model, an https address, a hub id (timm/shvit_s1.in1k or another "
        "model of timm), or a variant of the authors' release (shvit_s1) (default: the embedded demo model).",
        metavar="PATH_OR_ID",
    ),
]
Weights = Annotated[
    str | None,
    option(
        MODEL_PANEL,
        "Which of several models in the checkpoint, for example model_ema (default: the first that is not an average).",
        metavar="NAME",
    ),
]
Sha256 = Annotated[
    str | None,
    option(
        MODEL_PANEL,
        "SHA-256 that the checkpoint must have; an https address needs it (default: not compared).",
        metavar="HEX",
    ),
]
Model = Annotated[
    str | None,
    option(
        MODEL_PANEL,
        "The variant that the checkpoint must be, or the model of timm that it is: timm:repvit_m0_9 (default: as found "
        "in the checkpoint).",
        "--model",
        metavar="VARIANT",
    ),
]
Task = Annotated[
    Literal["classify", "features", "detect"] | None,
    option(
        MODEL_PANEL,
        "What is exported: classify for logits, features for the map of each stage, without the classifier, detect for "
        "the raw maps of a detector (default: classify).",
    ),
]
Labels = Annotated[
    Path | None,
    option(
        MODEL_PANEL,
        "Class names: one per line in the order of the logits, numbered lines, JSON, or CSV; or imagenet-1k (default: "
        "the checkpoint's own).",
        metavar="FILE",
    ),
]
Size = Annotated[
    str | None,
    option(MODEL_PANEL, "Image size, height x width (default: the checkpoint's own).", metavar="224|192x160"),
]
Crop = Annotated[
    float | None,
    option(
        MODEL_PANEL,
        "Share of the resized picture that the crop keeps (default: the checkpoint's own).",
        metavar="SHARE",
    ),
]
Mean = Annotated[
    ChannelValues | None,
    option(
        MODEL_PANEL,
        "Mean of each channel, 0 to 1, in the model's order (default: the checkpoint's own).",
        metavar="R G B",
    ),
]
Std = Annotated[
    ChannelValues | None,
    option(MODEL_PANEL, "Standard deviation of each channel (default: the checkpoint's own).", metavar="R G B"),
]

Resize = Annotated[
    Literal["cover", "squash", "letterbox"] | None,
    option(
        MODEL_PANEL,
        "How pictures are resized before the crop: cover keeps their proportions, squash does not; letterbox keeps "
        "them and pads instead of cropping (default: the checkpoint's own).",
    ),
]
Padding = Annotated[
    Literal["center", "end"] | None,
    option(
        MODEL_PANEL,
        "Where a letterbox is padded: on both sides, or only on the right or at the bottom (default: the checkpoint's "
        "own).",
    ),
]
PaddingValue = Annotated[
    tuple[int, int, int] | None,
    option(
        MODEL_PANEL,
        "Padding of a letterbox in each channel, 0 to 255, in the model's order (default: the checkpoint's own).",
        metavar="R G B",
    ),
]
Interpolation = Annotated[
    Literal["nearest", "bilinear", "bicubic", "lanczos"] | None,
    option(MODEL_PANEL, "Filter that resizes pictures (default: the checkpoint's own)."),
]
ChannelOrder = Annotated[
    Literal["rgb", "bgr"] | None,
    option(MODEL_PANEL, "Order of the color channels in the model's input (default: the checkpoint's own)."),
]

# Targets
Target = Annotated[
    list[TargetChoice] | None,
    option(
        TARGET_PANEL,
        "Target to export to; repeatable. 'all' leaves out litert, which needs 'doctor --install litert' once, and "
        "coreai, which is experimental.",
        metavar="|".join(TargetChoice),
    ),
]
Platform = Annotated[
    Literal["ios", "android", "both"] | None,
    option(
        TARGET_PANEL,
        "Instead of --target: export what the platform can run, and recommend what to ship.",
        "--for",
    ),
]
PLATFORMS = {"ios": ["ios"], "android": ["android"], "both": ["ios", "android"]}
Input = Annotated[
    Literal["image", "tensor"] | None,
    option(TARGET_PANEL, "coreml: type of the model's input (default: image).", "--input"),
]
DeploymentTarget = Annotated[
    Literal["iOS15", "iOS16", "iOS17", "iOS18", "iOS26"] | None,
    option(TARGET_PANEL, "coreml: the oldest system that must run the model (default: iOS17; iOS18 with --more-size)."),
]
NoClassifier = Annotated[bool, option(TARGET_PANEL, "coreml: return logits without class names.", "--no-classifier")]
Layout = Annotated[
    Literal["matmul", "einsum"] | None,
    option(TARGET_PANEL, "coreml: how attention multiplies (default: matmul)."),
]
Block = Annotated[
    int | None,
    option(
        TARGET_PANEL,
        "coreml: number of channels that share a scale (int8-weights) or a palette. Needs iOS18. (default: all of "
        "them)",
        metavar="N",
        min=1,
    ),
]
Opset = Annotated[int | None, option(TARGET_PANEL, "onnx: opset version, 18 to 23 (default: 18).", metavar="N")]
StaticBatch = Annotated[
    bool, option(TARGET_PANEL, "onnx: fix the batch size at 1 (default: any batch size).", "--static-batch")
]
Delegate = Annotated[
    list[DelegateChoice] | None,
    option(
        TARGET_PANEL,
        "executorch: what runs the program: xnnpack on the CPU, coreml on Apple's systems, or vulkan on "
        "Android's GPUs, which needs --allow-unproven; repeatable (default: xnnpack).",
        metavar="|".join(DelegateChoice),
    ),
]
AllowUnproven = Annotated[
    bool,
    option(
        TARGET_PANEL,
        "Also export what nothing on this machine can run, and so nothing compares with the checkpoint.",
        "--allow-unproven",
    ),
]
Stem = Annotated[
    Literal["plain", "space-to-depth"] | None,
    option(
        TARGET_PANEL,
        "xnnpack: the input, an image or its 2x2 blocks as channels, which is faster (default: plain).",
    ),
]
Head = Annotated[
    Literal["auto", "float", "int8-dynamic"] | None,
    option(
        TARGET_PANEL,
        "xnnpack: precision of the last layer under int8; auto takes int8-dynamic if there are many classes "
        "(default: auto).",
    ),
]
FloatDtype = Annotated[
    Literal["fp32", "fp16"] | None,
    option(
        TARGET_PANEL,
        "xnnpack: what int8 leaves in float computes in this dtype; fp16 needs a CPU with fp16 arithmetic "
        "(default: fp32).",
    ),
]
MoreSizes = Annotated[
    list[str] | None,
    option(
        TARGET_PANEL,
        "xnnpack, coreml: another image size that the artifact of a classifier takes, too, with the same weights; "
        "repeatable. Core ML needs iOS 18 for it.",
        "--more-size",
        metavar="384|384x512",
    ),
]
ETRecord = Annotated[
    bool,
    option(TARGET_PANEL, "executorch: also write an ETRecord, for ExecuTorch's developer tools.", "--etrecord"),
]
Bundled = Annotated[
    bool,
    option(
        TARGET_PANEL, "executorch: also write a bundled program, .bpte, with the goldens as test cases.", "--bundled"
    ),
]

# Precision and calibration
Quantize = Annotated[
    list[PrecisionChoice] | None,
    option(
        PRECISION_PANEL,
        f"Precision: {', '.join(PrecisionChoice)}; repeatable (default: fp16 for what Core ML runs, "
        "fp32 for the rest).",
        metavar="PRECISION",
    ),
]
Recipe = Annotated[Path | None, option(PRECISION_PANEL, "Use this recipe instead of calibrating.", metavar="FILE")]
Calibration = Annotated[
    Path | None,
    option(
        CALIBRATION_PANEL,
        "Folder of images to calibrate int8 on (default: the demo's images, for the demo model only).",
        metavar="DIR",
    ),
]
Observer = Annotated[
    Literal["min-max", "percentile", "mse"] | None,
    option(CALIBRATION_PANEL, "How ranges follow from values (default: mse, or min-max for fewer than 32 images)."),
]
Activations = Annotated[
    Literal["affine", "symmetric"] | None,
    option(CALIBRATION_PANEL, "int8 activations with a zero point (affine) or without (default: affine)."),
]
Passes = Annotated[
    list[PassChoice] | None,
    option(
        CALIBRATION_PANEL,
        f"PTQ pass to try: {', '.join(PassChoice)}; repeatable. Each is kept only where it helps; 'none' means plain "
        "int8 (default: all).",
        "--pass",
        "--step",
        metavar="PASS",
    ),
]
Sampling = Annotated[
    Literal["balanced", "random"] | None,
    option(
        CALIBRATION_PANEL,
        "Sample images evenly over the classes, where they lie in a folder for each, or at random (default: balanced).",
    ),
]
Sensitivity = Annotated[
    bool,
    option(
        CALIBRATION_PANEL,
        "Measure how sensitive each layer is to int8 (default: --sensitivity).",
        "--sensitivity/--no-sensitivity",
    ),
]
Cost = Annotated[
    Literal["bytes", "macs", "latency", "arm64"] | None,
    option(
        _GATES_PANEL,
        "What a layer costs when it stays in float to hold the budget: bytes in the file, multiply-adds outside int8, "
        "time on this machine, or arm64: instructions of ExecuTorch's program on an emulated phone CPU, set up with "
        "doctor --install arm64 (default: bytes).",
    ),
]
CostCpu = Annotated[
    Literal["neon", "dotprod", "i8mm"] | None,
    option(
        _GATES_PANEL,
        "With --cost arm64: the newest instructions of the emulated CPU, from older to newer phones (default: i8mm).",
        "--cpu",
    ),
]
Cache = Annotated[
    Path | None,
    option(
        OUTPUT_PANEL,
        "Folder for intermediate results, from which an interrupted run continues (default: the user's cache).",
        metavar="DIR",
    ),
]


def _count_option(panel: str, what: str, default: str) -> Any:
    """Return an option for a number of images."""
    return option(panel, f"{what} (default: {default}).", metavar="N", min=1)


CalibrationCount = Annotated[int | None, _count_option(CALIBRATION_PANEL, "Number of images to calibrate on", "256")]
Count = Annotated[int | None, _count_option(IMAGES_PANEL, "Number of images to use", "all")]
Seed = Annotated[int | None, option(IMAGES_PANEL, "Seed for sampling images (default: 0).", metavar="N")]

# Images to compare on, and gates
Images = Annotated[
    Path | None,
    option(
        IMAGES_PANEL,
        "Images to compare on, in a folder for each class (default: the demo's images, for the demo model only).",
        metavar="DIR",
    ),
]
Validate = Annotated[
    Path | None,
    option(IMAGES_PANEL, "Run every artifact on these images and compare it with the checkpoint.", metavar="DIR"),
]
LabelsCsv = Annotated[Path | None, option(IMAGES_PANEL, "CSV of file and label for these images.", metavar="FILE")]
LabelsCoco = Annotated[
    Path | None,
    option(
        IMAGES_PANEL,
        "COCO annotation file (JSON) with the boxes in these images, for detectors; file names are relative to the "
        "folder.",
        metavar="FILE",
    ),
]
ValidateCount = Annotated[int | None, _count_option(IMAGES_PANEL, "Number of these images to use", "all")]
GoldenImages = Annotated[
    Path | None,
    option(
        IMAGES_PANEL,
        "Make the goldens, with which an app checks itself, from up to 4 of these images and a drawing. They go into "
        "the app.",
        metavar="DIR",
    ),
]
MaxDrop = Annotated[
    float | None,
    option(
        _GATES_PANEL,
        "Points of top-1, or of a detector's average precision, that may be lost; needs labels.",
        metavar="POINTS",
    ),
]
MinAgreement = Annotated[
    float | None,
    option(
        _GATES_PANEL,
        "Share of images on which artifact and float model must choose the same class.",
        metavar="PERCENT",
    ),
]
MinTop1 = Annotated[
    float | None,
    option(
        _GATES_PANEL,
        "Share of images that every artifact must get right; needs labels.",
        "--min-top1",
        metavar="PERCENT",
    ),
]
MinSqnr = Annotated[
    float | None,
    option(
        _GATES_PANEL,
        "SQNR against the float model that the logits, or each map, must have at least.",
        "--min-sqnr",
        metavar="DB",
    ),
]
MinBoxAgreement = Annotated[
    float | None,
    option(
        _GATES_PANEL,
        "Of the boxes that a detector or its float model finds, the share that both must find; needs no labels.",
        metavar="PERCENT",
    ),
]
AcceptBaseline = Annotated[
    bool,
    option(
        _GATES_PANEL,
        "Accept a checkpoint that gets no more of the labelled images right than chance would.",
        "--accept-baseline",
    ),
]
RequireDelegated = Annotated[
    str | None,
    option(
        _GATES_PANEL, "executorch: share of operators that the delegate must run (default: 100%).", metavar="PERCENT"
    ),
]

# Inspection of artifacts
Ladder = Annotated[
    bool,
    option(
        INSPECTION_PANEL,
        "Also compare the steps between checkpoint and artifact, simulated in PyTorch on the same images: the deploy "
        "form, and each recipe's quantization.",
        "--ladder",
    ),
]
Layers = Annotated[
    bool,
    option(
        INSPECTION_PANEL,
        "Also compare layer by layer on 32 of the images: free-running, and teacher-forced, where each layer gets the "
        "float model's values. Not for .pte programs of XNNPACK and Vulkan.",
        "--layers",
    ),
]
Ranges = Annotated[
    bool,
    option(
        INSPECTION_PANEL,
        "Also check every intermediate value against the range of fp16. Exit status 1 if one overflows or an "
        "attention branch becomes silent.",
        "--ranges",
    ),
]
Arch = Annotated[
    Literal["arm64"] | None,
    option(
        CPU_PANEL,
        "Also run each .pte on this instruction set, emulated where needed. Set up with: shvit-mobile doctor "
        "--install arm64.",
    ),
]
Cpu = Annotated[
    list[CpuChoice] | None,
    option(
        CPU_PANEL,
        "With --arch arm64: the newest instructions of the emulated CPU, from older to newer phones; repeatable "
        "(default: i8mm).",
    ),
]

CountArch = Annotated[
    Literal["arm64"] | None,
    option(
        CPU_PANEL,
        "Instead, count the instructions of each .pte for one image on emulated phone CPUs. Set up with: shvit-mobile "
        "doctor --install arm64.",
        "--arch",
    ),
]
ByOperator = Annotated[
    bool,
    option(
        CPU_PANEL,
        "With --arch arm64: also print the ten operators of each program that execute most. The report (--out) has "
        "all.",
        "--by-operator",
    ),
]
CountBaseline = Annotated[
    Path | None,
    option(CPU_PANEL, "With --arch arm64: an earlier report (--out) to compare with.", "--baseline", metavar="REPORT"),
]
MaxMoreInstructions = Annotated[
    str | None,
    option(
        _GATES_PANEL,
        "With --arch arm64 and --baseline: how many more instructions a program may execute than in that report.",
        "--max-more-instructions",
        metavar="PERCENT",
    ),
]

# Output
OutFolder = Annotated[Path, option(OUTPUT_PANEL, "Folder to write into.", "--out", metavar="DIR")]
OutFile = Annotated[Path | None, option(OUTPUT_PANEL, "Write the report here (JSON).", "--out", metavar="FILE")]
Report = Annotated[
    Path | None, option(OUTPUT_PANEL, "With --validate: write the drift report here (JSON).", metavar="FILE")
]
Write = Annotated[bool, option(OUTPUT_PANEL, "Write the drift into each artifact's manifest.", "--write")]
Card = Annotated[bool, option(OUTPUT_PANEL, "Also write a model card, README.md, for all artifacts.", "--card")]
License = Annotated[
    str | None,
    option(OUTPUT_PANEL, "License of the weights, for the model card: mit, apache-2.0, …", metavar="ID"),
]
DryRun = Annotated[bool, option(OUTPUT_PANEL, "Print what would be done, and do nothing.", "--dry-run")]
Json = Annotated[bool, option(OUTPUT_PANEL, "Print only JSON on stdout.", "--json")]
Overwrite = Annotated[bool, option(OUTPUT_PANEL, "Replace existing files.", "--overwrite")]

# Benchmarks
ContestantsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="ARTIFACT", help="Artifacts to measure; the others are compared with the first."),
]
Peers = Annotated[
    bool, option(CONTESTANTS_PANEL, "Also measure PyTorch and stock exports of the checkpoint.", "--peers")
]
PeerSize = Annotated[
    str | None,
    option(MODEL_PANEL, "Image size of the peers (default: the checkpoint's own).", "--size", metavar="224|192x160"),
]
TimmModels = Annotated[
    str | None,
    option(CONTESTANTS_PANEL, "Also measure stock exports of these timm models.", "--models", metavar="NAME,..."),
]
Engine = Annotated[
    list[EngineChoice] | None,
    option(
        CONTESTANTS_PANEL,
        f"Only measure peers that run on this engine: {', '.join(EngineChoice)}; repeatable (default: all).",
        metavar="ENGINE",
    ),
]
OnDevice = Annotated[
    Literal["mac", "iphone"] | None,
    option(
        CONTESTANTS_PANEL,
        "Instead, let Core ML time Core ML packages on this Mac or on a connected iPhone.",
    ),
]
Roofline = Annotated[
    bool,
    option(
        CONTESTANTS_PANEL,
        "Measure this machine's peak throughput too (default: --roofline).",
        "--roofline/--no-roofline",
        "--roofs/--no-roofs",
    ),
]
Threads = Annotated[int, option(TIMING_PANEL, "Threads of each engine (default: 1).", metavar="N", min=1)]
Batch = Annotated[int, option(TIMING_PANEL, "Images per inference (default: 1).", metavar="N", min=1)]
Rounds = Annotated[
    int, option(TIMING_PANEL, "Rounds; each contestant runs once in each (default: 15).", metavar="N", min=1)
]
Iterations = Annotated[int, option(TIMING_PANEL, "Timed inferences per round (default: 20).", metavar="N", min=1)]
WarmUp = Annotated[int, option(TIMING_PANEL, "Untimed inferences before them (default: 5).", metavar="N", min=0)]
Pin = Annotated[str | None, option(TIMING_PANEL, "Pin every contestant to these processors.", "--cpus", metavar="0,1")]
OrderSeed = Annotated[
    int, option(TIMING_PANEL, "Seed for the order in each round (default: 0).", "--seed", metavar="N")
]
Chart = Annotated[Path | None, option(OUTPUT_PANEL, "Draw a chart here (SVG).", metavar="FILE")]

# Sweeps
SweepOut = Annotated[
    Path,
    option(
        OUTPUT_PANEL,
        "Folder for artifacts, results and the report; an earlier run in it is continued (default: sweep).",
        "--out",
        metavar="DIR",
    ),
]
SweepTable = Annotated[
    Path | None,
    option(OUTPUT_PANEL, "The table to write, .csv or .parquet (default: DIR/results.csv).", "--table", metavar="FILE"),
]
RayAddress = Annotated[
    str | None,
    option(
        OUTPUT_PANEL,
        'Run on this Ray cluster, or with "auto" on the one of this machine (default: processes on this machine).',
        "--ray",
        metavar="ADDRESS",
    ),
]
Workers = Annotated[
    int | None,
    option(
        OUTPUT_PANEL,
        "How many artifacts are exported at once (default: as many as there are processors and memory for).",
        "--workers",
        metavar="N",
        min=1,
    ),
]

# Fine-tuning
TrainingImagesArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Images to train on, in a folder for each class.")
]
StartRecipe = Annotated[Path, option(MODEL_PANEL, "The static int8 recipe to start from.", "--recipe", metavar="FILE")]
TrainingCount = Annotated[
    int,
    option(
        IMAGES_PANEL,
        "Number of images to use; a fifth of them is held out for evaluation (default: 1000).",
        "--count",
        metavar="N",
        min=1,
    ),
]
Flip = Annotated[bool, option(IMAGES_PANEL, "Mirror images at random; do not use it for text or hands.", "--flip")]
Epochs = Annotated[int, option(TRAINING_PANEL, "Passes over the images (default: 3).", metavar="N", min=1)]
TrainingBatch = Annotated[
    int, option(TRAINING_PANEL, "Images per update (default: 16).", "--batch", metavar="N", min=1)
]
LearningRate = Annotated[
    float,
    option(
        TRAINING_PANEL,
        "The largest change of a parameter per update, in int8 steps; it falls to 0 along a cosine (default: 0.01).",
        metavar="STEPS",
    ),
]
TrainingSeed = Annotated[
    int, option(TRAINING_PANEL, "Seed for sampling and ordering images (default: 0).", "--seed", metavar="N")
]
Device = Annotated[
    str | None,
    option(
        TRAINING_PANEL,
        "Where to train: cpu, cuda, mps, … (default: a GPU if there is one).",
        metavar="DEVICE",
        autocompletion=lambda: ["cpu", "cuda", "mps"],
    ),
]
RecipeOut = Annotated[
    Path, option(OUTPUT_PANEL, "The recipe to write (default: recipe-finetuned.json).", "--out", metavar="FILE")
]
KeepAnyway = Annotated[
    bool, option(OUTPUT_PANEL, "Write the recipe even if it is no better than before.", "--keep-anyway")
]

# Device reports and the report
ReportsArgument = Annotated[
    list[Path],
    typer.Argument(metavar="REPORT", help="Device reports: files, folders, or a .zip from a phone's share sheet."),
]
KnownArtifacts = Annotated[
    list[Path] | None,
    option(
        COMPARISON_PANEL,
        "The measured artifacts, their manifests, or a folder of them; repeatable.",
        "--artifacts",
        metavar="PATH",
    ),
]
Baseline = Annotated[
    list[Path] | None,
    option(
        COMPARISON_PANEL,
        "Earlier reports to compare with; repeatable (default: the run before each run).",
        metavar="REPORT",
    ),
]
MaxSlowdown = Annotated[
    str | None,
    option(
        _GATES_PANEL,
        "How much longer an inference may take than in the earlier run; decided by the 95% interval.",
        metavar="PERCENT",
    ),
]
PhoneArtifactsArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="ARTIFACT", help="Files (.mlpackage, .pte) to embed and measure (default: those in the app)."
    ),
]
PhoneDevice = Annotated[
    str | None,
    option(
        PHONE_PANEL, "Serial number or name of the phone (default: the only one).", "--device", metavar="SERIAL|NAME"
    ),
]
PhoneApp = Annotated[
    Path | None,
    option(
        PHONE_PANEL,
        "The app's source tree (default: ios_demo for an iPhone, android_demo for an Android phone).",
        "--into",
        metavar="ios_demo|android_demo|PATH",
    ),
]
Team = Annotated[
    str | None,
    option(PHONE_PANEL, "iOS: the team that signs the app (default: the project's own).", metavar="ID"),
]
Timeout = Annotated[
    int,
    option(
        PHONE_PANEL,
        "Seconds without progress on the phone after which the run fails (default: 600).",
        metavar="SECONDS",
        min=1,
    ),
]
PhoneRounds = Annotated[
    int | None, option(TIMING_PANEL, "Rounds of the benchmark (default: the app's).", "--rounds", metavar="N", min=1)
]
PhoneIterations = Annotated[
    int | None,
    option(TIMING_PANEL, "Timed inferences per turn, instead of --seconds.", "--iterations", metavar="N", min=1),
]
PhoneSeconds = Annotated[
    float | None,
    option(TIMING_PANEL, "Length of each model's turn in a round (default: 1).", "--seconds", metavar="SECONDS"),
]
AllowLowPower = Annotated[
    bool, option(TIMING_PANEL, "Measure although a power-saving mode is on.", "--allow-low-power")
]
AllowHeat = Annotated[bool, option(TIMING_PANEL, "Start although the phone is warm.", "--allow-heat")]
PhoneWarmUp = Annotated[
    int | None,
    option(TIMING_PANEL, "Untimed inferences before them (default: 0.5 s of them).", "--warm-up", metavar="N", min=0),
]
Sustained = Annotated[
    int | None,
    option(
        TIMING_PANEL, "Also run each model without a pause for this long (default: none).", metavar="SECONDS", min=1
    ),
]
PhoneThreads = Annotated[
    str | None,
    option(TIMING_PANEL, "Android: numbers of threads (default: 1).", "--threads", metavar="N,..."),
]
ComputeUnits = Annotated[
    list[ComputeChoice] | None,
    option(
        TIMING_PANEL,
        f"iOS: Core ML's compute units: {', '.join(ComputeChoice)}; repeatable (default: all four).",
        "--compute",
        metavar="UNITS",
    ),
]
PhoneReport = Annotated[
    Path | None,
    option(OUTPUT_PANEL, "Write the device report here, JSON (default: reports/RUN.json).", "--out", metavar="FILE"),
]
Csv = Annotated[Path | None, option(OUTPUT_PANEL, "Write one line per result here.", "--csv", metavar="FILE")]
InputsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT",
        help="Artifacts, drift reports (validate --out), sensitivity reports (calibrate), device reports (benchmark "
        "--out, or a phone's), counts of instructions (benchmark --arch arm64 --out), and folders of them.",
    ),
]
Page = Annotated[Path, option(OUTPUT_PANEL, "The page to write, HTML (default: report.html).", "--out", metavar="FILE")]
PageJson = Annotated[
    Path | None, option(OUTPUT_PANEL, "Also write the report as JSON here.", "--json-out", metavar="FILE")
]
Title = Annotated[str | None, option(OUTPUT_PANEL, "Title of the page (default: the model's name).", metavar="TEXT")]

# Inspection, embedding and installation
PathArgument = Annotated[str, typer.Argument(metavar="PATH", help="An artifact or a checkpoint.")]
ComputePlan = Annotated[
    bool,
    option(None, "Print the device that runs each operator of a Core ML package. Needs a Mac.", "--compute-plan"),
]
Goldens = Annotated[bool, option(None, "Run the artifact on its goldens. Exit status 1 if it fails them.", "--goldens")]
EmbeddedArtifactsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="ARTIFACT", help="Files (.mlpackage, .pte) to embed. With --undo: default is all."),
]
App = Annotated[Path | None, option(None, "The app's source tree.", "--into", metavar="ios_demo|android_demo|PATH")]
Undo = Annotated[bool, option(None, "Remove what was embedded, and nothing else.", "--undo")]
AnyVersion = Annotated[
    bool,
    option(None, "Accept an app that links another version of the runtime; it may not run the model.", "--any-version"),
]
Install = Annotated[
    Literal["arm64", "litert"] | None,
    option(
        None,
        "First install something optional: 'arm64' is the ARM64 emulator, from Debian's packages and ARM64 wheels; "
        "'litert' converts models for LiteRT, with packages from pip's index.",
    ),
]
