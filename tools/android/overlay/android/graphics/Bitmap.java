package android.graphics;

import overlay.Since;

public final class Bitmap {
    public enum Config {
        @Since(26)
        RGBA_F16,

        @Since(26)
        HARDWARE,
    }
}
