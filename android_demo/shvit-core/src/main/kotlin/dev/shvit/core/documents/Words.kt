package dev.shvit.core.documents

import dev.shvit.core.json.Word

/** The number format of a model's weights and activations. */
enum class Precision(override val word: String) : Word {
    FP32("fp32"),
    FP16("fp16"),
    INT8("int8"),
    INT8_DYNAMIC("int8-dynamic"),
    INT8_WEIGHTS("int8-weights"),
    PALETTE_8("palette-8"),
    PALETTE_6("palette-6"),
    PALETTE_4("palette-4"),
}

/** What a model computes: logits, feature maps, or the raw maps of a detector. */
enum class Task(override val word: String) : Word {
    CLASSIFY("classify"),
    FEATURES("features"),
    DETECT("detect"),
}

/** The runtime that an artifact is for. */
enum class Target(override val word: String) : Word {
    CORE_ML("coreml"),
    EXECUTORCH("executorch"),
    ONNX("onnx"),
    LITERT("litert"),
    CORE_AI("coreai"),
}

/**
 * How an artifact was executed: by the target's own runtime, by a reference executor of the specification, by the
 * target's own runtime on an emulated CPU, or simulated by PyTorch.
 */
enum class Execution(override val word: String) : Word {
    NATIVE("native"),
    REFERENCE("reference"),
    EMULATED("emulated"),
    SIMULATED("simulated"),
}

/** The processors that an inference may use. */
enum class Compute(override val word: String) : Word {
    CPU("cpu"),
    CPU_AND_GPU("cpu-and-gpu"),
    CPU_AND_NEURAL_ENGINE("cpu-and-neural-engine"),
    ALL("all"),
}

/** A thermal state, with Apple's names. */
enum class ThermalState(override val word: String) : Word {
    NOMINAL("nominal"),
    FAIR("fair"),
    SERIOUS("serious"),
    CRITICAL("critical");

    companion object {
        /**
         * Converts Android's thermal status: NONE is nominal, LIGHT and MODERATE are fair, SEVERE is serious, higher
         * ones are critical.
         *
         * @param status The value of `PowerManager.getCurrentThermalStatus`: 0 (NONE) to 6 (SHUTDOWN).
         */
        fun fromAndroid(status: Int): ThermalState = when {
            status <= 0 -> NOMINAL
            status <= 2 -> FAIR
            status == 3 -> SERIOUS
            else -> CRITICAL
        }
    }
}

/** What a sample of a report covers: the call of the runtime alone, or also its input and output. */
enum class InferenceTiming(override val word: String) : Word {
    RUNTIME_CALL("runtime-call"),
    TENSOR_AND_RUNTIME_CALL("tensor-and-runtime-call"),
}

/** What a benchmark was told to accept: a power-saving mode, or a phone that is warm before it starts. */
enum class Override(override val word: String) : Word {
    LOW_POWER("low-power"),
    HEAT("heat"),
}

/** The kind of device: a computer or a phone. */
enum class DeviceKind(override val word: String) : Word {
    HOST("host"),
    PHONE("phone"),
}
