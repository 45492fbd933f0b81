package android.os;

public final class Debug {
    private Debug() {}

    public static long getPss() {
        return 1000;
    }
}
