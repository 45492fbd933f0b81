package android.os;

public class Build {
    public static final String MANUFACTURER = text("Fake");
    public static final String MODEL = text("Phone");
    public static final String SOC_MANUFACTURER = text("Fakes");
    public static final String SOC_MODEL = text("F1");

    /** Keeps the compiler from inlining constants. */
    private static String text(String value) {
        return value;
    }

    public static class VERSION {
        public static final String RELEASE = text("16");
        public static final int SDK_INT = Integer.parseInt("36");
    }
}
