package androidx.test.platform.app;

import android.app.Instrumentation;
import android.os.Bundle;

/** As developer.android.com/reference/androidx/test/platform/app/InstrumentationRegistry declares it. */
public final class InstrumentationRegistry {
    private InstrumentationRegistry() {}

    public static Instrumentation getInstrumentation() {
        throw new UnsupportedOperationException();
    }

    public static Bundle getArguments() {
        throw new UnsupportedOperationException();
    }
}
