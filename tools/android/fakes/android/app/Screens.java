package android.app;

import android.content.Intent;
import android.os.Bundle;
import android.os.Looper;
import java.util.function.Supplier;

/** Leads screens through their lives as Android does, on the main thread. */
public final class Screens {
    /** The permissions that a screen asked for last. */
    public static String[] asked;

    public static boolean mayAskAgain;

    private Screens() {}

    /** Brings a screen to the front. */
    public static <A extends Activity> A open(A screen, Intent intent) {
        screen.intent = intent;
        begin(screen, null);
        return screen;
    }

    private static void begin(Activity screen, Bundle state) {
        step(screen, () -> screen.onCreate(state));
        step(screen, screen::onStart);
        step(screen, screen::onResume);
    }

    public static void pause(Activity screen) {
        step(screen, screen::onPause);
    }

    public static void resume(Activity screen) {
        step(screen, screen::onResume);
    }

    public static void stop(Activity screen) {
        step(screen, screen::onStop);
    }

    /** Closes a screen in front, as a person does. */
    public static void close(Activity screen) {
        screen.finishing = true;
        end(screen);
    }

    private static void end(Activity screen) {
        step(screen, screen::onPause);
        step(screen, screen::onStop);
        step(screen, screen::onDestroy);
        screen.destroyed = true;
    }

    /** Closes a screen that is not in front. */
    public static void closeStopped(Activity screen) {
        screen.finishing = true;
        step(screen, screen::onDestroy);
        screen.destroyed = true;
    }

    /** Replaces a screen in front by a new one, as a rotation of the phone does. */
    public static <A extends Activity> A rotate(A screen, Supplier<A> create) {
        Bundle state = new Bundle();
        screen.changingConfigurations = true;
        screen.onSaveInstanceState(state);
        Object retained = screen.onRetainNonConfigurationInstance();
        end(screen);
        A next = create.get();
        next.intent = screen.intent;
        next.retained = retained;
        begin(next, state);
        return next;
    }

    public static void deliver(Activity screen, Intent intent) {
        screen.onNewIntent(intent);
    }

    public static void answer(Activity screen, int request, int result, Intent data) {
        screen.onActivityResult(request, result, data);
    }

    private static void step(Activity screen, Runnable step) {
        if (!Looper.getMainLooper().isCurrentThread()) throw new AssertionError("screens live on the main thread");
        screen.called = false;
        step.run();
        if (!screen.called) throw new AssertionError(screen.getClass() + " does not call its superclass");
    }
}
