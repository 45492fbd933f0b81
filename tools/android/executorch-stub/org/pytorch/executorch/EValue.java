package org.pytorch.executorch;

public class EValue {
    private EValue() {}

    public static EValue from(Tensor tensor) {
        throw new RuntimeException();
    }

    public boolean isTensor() {
        throw new RuntimeException();
    }

    public Tensor toTensor() {
        throw new RuntimeException();
    }
}
