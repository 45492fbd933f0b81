package androidx.lifecycle;

import fakes.Misuse;
import fakes.Threads;
import java.util.ArrayList;
import java.util.List;

/** Runs tasks when the state changes. A lifecycle that began has to end. */
public class LifecycleRegistry extends Lifecycle {
    private final List<Runnable> watchers = new ArrayList<>();
    private State state = State.INITIALIZED;

    public LifecycleRegistry(LifecycleOwner owner) {}

    @Override
    public State getCurrentState() {
        return state;
    }

    public void setCurrentState(State next) {
        Threads.requireMain("A lifecycle is changed");
        if (state == State.DESTROYED && next != State.DESTROYED) throw Misuse.fail("A lifecycle begins again");
        if (next == State.DESTROYED) Misuse.close(this);
        else Misuse.open(this, "A lifecycle");
        state = next;
        new ArrayList<>(watchers).forEach(Runnable::run);
    }

    /** For other fakes. */
    public void watch(Runnable watcher) {
        watchers.add(watcher);
    }
}
