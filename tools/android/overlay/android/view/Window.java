package android.view;

import overlay.Since;

public abstract class Window {
    @Since(24)
    public void setSustainedPerformanceMode(boolean enable) {
        throw new RuntimeException();
    }
}
