package org.pytorch.executorch;

import fakes.Misuse;
import fakes.Threads;
import java.io.File;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;

/** A model whose logits a test chooses. Reports what crashes the process or slows the app down. */
public class Module {
    public static final int LOAD_MODE_FILE = 0;
    public static final int LOAD_MODE_MMAP = 1;
    public static final int LOAD_MODE_MMAP_USE_MLOCK = 2;
    public static final int LOAD_MODE_MMAP_USE_MLOCK_IGNORE_ERRORS = 3;

    /** Computes the logits from the input. */
    public static volatile Function<float[], float[]> model;

    /** Computes several outputs from the input; null for a classifier. */
    public static volatile Function<float[], float[][]> maps;

    /** Whether loading the method fails. */
    public static volatile boolean damaged;

    /** The numbers of threads of the loaded models. */
    public static volatile int threads;

    /** The input of the last inference, and how many inferences there were. */
    public static volatile Tensor input;
    public static final AtomicInteger RUNS = new AtomicInteger();

    private final AtomicInteger running = new AtomicInteger();
    private boolean prepared;

    public static void reset() {
        model = values -> new float[10];
        maps = null;
        damaged = false;
        input = null;
        threads = -1;
        RUNS.set(0);
    }

    public static Module load(String path, int mode, int threads) {
        Threads.refuseMain("A model is loaded");
        if (!new File(path).isFile()) throw new IllegalArgumentException("Cannot load model path " + path);
        if (mode != LOAD_MODE_MMAP) Misuse.report("A model is not mapped into memory (load mode " + mode + ")");
        Module.threads = threads;
        Module module = new Module();
        Misuse.open(module, "A model of ExecuTorch");
        return module;
    }

    /** Where Kotlin looks for the static methods of ExecuTorch, which is written in Kotlin. */
    public static final Companion Companion = new Companion();

    public static final class Companion {
        private Companion() {}

        public Module load(String path, int mode, int threads) {
            return Module.load(path, mode, threads);
        }
    }

    public void loadMethod(String name) {
        check("loadMethod");
        if (damaged) throw new RuntimeException("Failed to load method " + name);
        prepared = true;
    }

    public EValue[] forward(EValue... inputs) {
        check("forward");
        Threads.refuseMain("A model runs");
        if (!prepared) Misuse.report("The first inference loads the method");
        if (running.incrementAndGet() > 1) Misuse.report("Two inferences of a model run at the same time");
        try {
            Tensor tensor = inputs[0].toTensor();
            input = Tensor.fromBlob(tensor.getDataAsFloatArray(), tensor.shape());
            RUNS.incrementAndGet();
            return maps == null ? new EValue[] {EValue.from(logits(tensor))} : maps(tensor);
        } finally {
            running.decrementAndGet();
        }
    }

    private Tensor logits(Tensor tensor) {
        float[] logits = model.apply(tensor.getDataAsFloatArray());
        return Tensor.fromBlob(logits, new long[] {1, logits.length});
    }

    private EValue[] maps(Tensor tensor) {
        float[][] outputs = maps.apply(tensor.getDataAsFloatArray());
        EValue[] values = new EValue[outputs.length];
        for (int place = 0; place < outputs.length; place++) {
            values[place] = EValue.from(Tensor.fromBlob(outputs[place], new long[] {1, outputs[place].length}));
        }
        return values;
    }

    public void destroy() {
        check("destroy");
        if (running.get() > 0) Misuse.report("A model is destroyed while it runs");
        Misuse.close(this);
    }

    private void check(String what) {
        if (!Misuse.isOpen(this)) throw Misuse.fail(what + " of a destroyed model, which crashes the process");
    }
}
