package fakes;

import android.os.Looper;

/** The thread rules of apps. */
public final class Threads {
    private Threads() {}

    /** Reports long work on the main thread, which freezes the screen. */
    public static void refuseMain(String what) {
        if (Looper.getMainLooper().isCurrentThread()) Misuse.report(what + " on the main thread");
    }

    /** Reports and refuses the use of views on another thread than the main one. */
    public static void requireMain(String what) {
        if (!Looper.getMainLooper().isCurrentThread()) {
            throw Misuse.fail(what + " on the thread '" + Thread.currentThread().getName() + "', not the main one");
        }
    }
}
