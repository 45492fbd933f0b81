package org.pytorch.executorch;

import fakes.Misuse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;

/** Refuses what ExecuTorch refuses: native code reads the memory of the buffer. */
public final class Tensor {
    private final FloatBuffer data;
    private final long[] shape;

    private Tensor(FloatBuffer data, long[] shape) {
        this.data = data;
        this.shape = shape;
    }

    public static FloatBuffer allocateFloatBuffer(int elements) {
        return ByteBuffer.allocateDirect(4 * elements).order(ByteOrder.nativeOrder()).asFloatBuffer();
    }

    public static Tensor fromBlob(FloatBuffer data, long[] shape) {
        if (!data.isDirect()) throw refuse("Data buffer must be direct (java.nio.ByteBuffer#allocateDirect)");
        if (data.order() != ByteOrder.nativeOrder()) throw refuse("Data buffer must have native byte order");
        check(data.capacity(), shape);
        return new Tensor(data, shape.clone());
    }

    public static Tensor fromBlob(float[] data, long[] shape) {
        FloatBuffer copy = allocateFloatBuffer(data.length);
        copy.put(data);
        return fromBlob(copy, shape);
    }

    /** Where Kotlin looks for the static methods of ExecuTorch, which is written in Kotlin. */
    public static final Companion Companion = new Companion();

    public static final class Companion {
        private Companion() {}

        public FloatBuffer allocateFloatBuffer(int elements) {
            return Tensor.allocateFloatBuffer(elements);
        }

        public Tensor fromBlob(FloatBuffer data, long[] shape) {
            return Tensor.fromBlob(data, shape);
        }

        public Tensor fromBlob(float[] data, long[] shape) {
            return Tensor.fromBlob(data, shape);
        }
    }

    private static void check(int capacity, long[] shape) {
        long elements = 1;
        for (long side : shape) {
            if (side < 0) throw refuse("Shape must be non negative");
            elements *= side;
        }
        if (elements != capacity) {
            throw refuse("Inconsistent data capacity: " + capacity + " and shape " + Arrays.toString(shape));
        }
    }

    private static IllegalArgumentException refuse(String what) {
        Misuse.report(what);
        return new IllegalArgumentException(what);
    }

    public long[] shape() {
        return shape.clone();
    }

    public long numel() {
        return data.capacity();
    }

    public DType dtype() {
        return DType.FLOAT;
    }

    public float[] getDataAsFloatArray() {
        float[] values = new float[data.capacity()];
        for (int place = 0; place < values.length; place++) values[place] = data.get(place);
        return values;
    }
}
