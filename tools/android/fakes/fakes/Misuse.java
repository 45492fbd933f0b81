package fakes;

import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/** What the code under test does that Android or ExecuTorch would punish: at once, later, or only on some phones. */
public final class Misuse {
    private static final List<String> FOUND = new ArrayList<>();
    private static final Map<Object, String> OPEN = new IdentityHashMap<>();
    private static final long PATIENCE_MS = 3000;

    private Misuse() {}

    /** Records a misuse; the code under test may catch what is thrown. */
    public static synchronized void report(String what) {
        FOUND.add(what);
    }

    /** Records a misuse and returns what Android would throw. */
    public static IllegalStateException fail(String what) {
        report(what);
        return new IllegalStateException(what);
    }

    /** Records that something has to be closed. */
    public static synchronized void open(Object resource, String what) {
        OPEN.put(resource, what);
    }

    /** Records that something was closed. */
    public static synchronized void close(Object resource) {
        OPEN.remove(resource);
        Misuse.class.notifyAll();
    }

    /** Returns the first misuse; null if there is none. */
    public static synchronized String first() {
        return FOUND.isEmpty() ? null : FOUND.get(0);
    }

    /** Ends the threads that the code under test left behind. */
    public static synchronized void endThreads() {
        OPEN.keySet().stream().filter(Thread.class::isInstance).forEach(one -> ((Thread) one).interrupt());
    }

    /** Whether anything of a kind is open. */
    public static synchronized boolean isAnyOpen(Class<?> kind) {
        return OPEN.keySet().stream().anyMatch(kind::isInstance);
    }

    public static synchronized boolean isOpen(Object resource) {
        return OPEN.containsKey(resource);
    }

    /** Returns each misuse, and what is still open a few seconds after the end. */
    public static synchronized List<String> list() throws InterruptedException {
        long end = System.nanoTime() + PATIENCE_MS * 1_000_000;
        while (!OPEN.isEmpty() && FOUND.isEmpty() && System.nanoTime() < end) Misuse.class.wait(10);
        List<String> all = new ArrayList<>(FOUND);
        OPEN.values().forEach(what -> all.add(what + " is still open"));
        return all;
    }

    public static synchronized void reset() {
        FOUND.clear();
        OPEN.clear();
    }
}
