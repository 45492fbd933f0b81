package android.os;

import fakes.Misuse;

public final class Trace {
    private static final ThreadLocal<Integer> DEPTH = ThreadLocal.withInitial(() -> 0);

    private Trace() {}

    public static void beginSection(String name) {
        if (name.length() > 127) throw new IllegalArgumentException("sectionName is too long");
        DEPTH.set(DEPTH.get() + 1);
    }

    public static void endSection() {
        if (DEPTH.get() == 0) Misuse.report("A section of a trace ends that never began");
        DEPTH.set(DEPTH.get() - 1);
    }
}
