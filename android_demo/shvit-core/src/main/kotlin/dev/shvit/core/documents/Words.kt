package dev.shvit.core.documents

import dev.shvit.core.json.Word

/** The numbers that a model's weights and activations are held in; one grammar in files, options and apps. */
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

/** What an artifact was made for. */
enum class Target(override val word: String) : Word {
    CORE_ML("coreml"),
    EXECUTORCH("executorch"),
    ONNX("onnx"),
}

/**
 * How an artifact was run: by the target's own runtime, by an executor of the specification, by the target's own on an
 * emulated CPU, or not at all, where PyTorch computed what it is to compute.
 */
enum class How(override val word: String) : Word {
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

/** How hot a phone says it is, by Apple's names. */
enum class ThermalState(override val word: String) : Word {
    NOMINAL("nominal"),
    FAIR("fair"),
    SERIOUS("serious"),
    CRITICAL("critical");

    companion object {
        /**
         * Android's thermal status as one of Apple's: NONE is nominal, LIGHT and MODERATE fair, SEVERE serious, and all
         * above it critical.
         *
         * @param status what `PowerManager.getCurrentThermalStatus` gives: 0 for NONE to 6 for SHUTDOWN.
         */
        fun ofAndroid(status: Int): ThermalState = when {
            status <= 0 -> NOMINAL
            status <= 2 -> FAIR
            status == 3 -> SERIOUS
            else -> CRITICAL
        }
    }
}

/** Where something ran: on a computer, or on a phone. */
enum class DeviceKind(override val word: String) : Word {
    HOST("host"),
    PHONE("phone"),
}
