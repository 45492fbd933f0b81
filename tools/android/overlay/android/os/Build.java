package android.os;

import overlay.Since;

public class Build {
    @Since(31)
    public static final String SOC_MANUFACTURER = value();

    @Since(31)
    public static final String SOC_MODEL = value();

    /** Keeps the compiler from inlining the texts above as constants. */
    private static String value() {
        throw new RuntimeException();
    }

    public static class VERSION_CODES {
        @Since(24)
        public static final int N = 24;

        @Since(25)
        public static final int N_MR1 = 25;

        @Since(26)
        public static final int O = 26;

        @Since(27)
        public static final int O_MR1 = 27;

        @Since(28)
        public static final int P = 28;

        @Since(29)
        public static final int Q = 29;

        @Since(30)
        public static final int R = 30;

        @Since(31)
        public static final int S = 31;

        @Since(32)
        public static final int S_V2 = 32;

        @Since(33)
        public static final int TIRAMISU = 33;

        @Since(34)
        public static final int UPSIDE_DOWN_CAKE = 34;

        @Since(35)
        public static final int VANILLA_ICE_CREAM = 35;

        @Since(36)
        public static final int BAKLAVA = 36;
    }
}
