package android.view;

import fakes.Threads;

public class Window {
    private int flags;

    public void addFlags(int flags) {
        Threads.requireMain("A window is changed");
        this.flags |= flags;
    }

    public void clearFlags(int flags) {
        Threads.requireMain("A window is changed");
        this.flags &= ~flags;
    }

    public int getFlags() {
        return flags;
    }

    public void setSustainedPerformanceMode(boolean enable) {
        Threads.requireMain("A window is changed");
    }
}
