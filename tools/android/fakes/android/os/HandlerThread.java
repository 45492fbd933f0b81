package android.os;

import fakes.Misuse;
import java.util.concurrent.CountDownLatch;

public class HandlerThread extends Thread {
    private final CountDownLatch started = new CountDownLatch(1);
    private volatile Looper looper;

    public HandlerThread(String name) {
        super(name);
        setDaemon(true);
    }

    @Override
    public synchronized void start() {
        Misuse.open(this, "The thread '" + getName() + "'");
        super.start();
    }

    @Override
    public void run() {
        looper = new Looper();
        started.countDown();
        try {
            looper.loop();
        } finally {
            Misuse.close(this);
        }
    }

    public Looper getLooper() {
        if (getState() == State.NEW) return null;
        try {
            started.await();
        } catch (InterruptedException reason) {
            throw new IllegalStateException(reason);
        }
        return looper;
    }

    public boolean quitSafely() {
        getLooper().quitSafely();
        return true;
    }

    public boolean quit() {
        getLooper().quit();
        return true;
    }
}
