package android.os;

import fakes.Misuse;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** A thread's queue of tasks. The main thread is the one that runs the tests; it works while it waits. */
public final class Looper {
    private static Looper main = new Looper();

    final BlockingQueue<Runnable> tasks = new LinkedBlockingQueue<>();
    private final Thread thread = Thread.currentThread();

    /** Makes the current thread the main one. */
    public static void reset() {
        main = new Looper();
    }

    public static Looper getMainLooper() {
        return main;
    }

    public Thread getThread() {
        return thread;
    }

    public boolean isCurrentThread() {
        return Thread.currentThread() == thread;
    }

    /** Runs the main thread's tasks until a condition holds. */
    public static void runUntil(String what, BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (!condition.getAsBoolean()) {
            Runnable task = main.tasks.poll(5, TimeUnit.MILLISECONDS);
            if (task != null) task.run();
            String found = Misuse.first();
            if (found != null) throw new AssertionError(found);
            if (System.nanoTime() > end) throw new AssertionError("This never happens: " + what);
        }
    }

    /** Runs the main thread's waiting tasks. */
    public static void runWaiting() {
        for (Runnable task = main.tasks.poll(); task != null; task = main.tasks.poll()) task.run();
    }

    boolean enqueue(Runnable task) {
        tasks.add(task);
        return true;
    }
}
