package android.util;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

public final class Log {
    /** The messages, oldest first. */
    public static final List<String> LINES = Collections.synchronizedList(new ArrayList<>());

    private Log() {}

    public static int i(String tag, String message) {
        LINES.add(message);
        return 0;
    }

    public static int w(String tag, String message) {
        return i(tag, message);
    }

    public static int e(String tag, String message) {
        return i(tag, message);
    }

    public static int e(String tag, String message, Throwable reason) {
        java.io.StringWriter trace = new java.io.StringWriter();
        reason.printStackTrace(new java.io.PrintWriter(trace));
        return i(tag, message + "\n" + trace);
    }
}
