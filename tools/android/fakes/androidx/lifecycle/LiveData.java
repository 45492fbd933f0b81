package androidx.lifecycle;

import fakes.Threads;
import java.util.LinkedHashMap;
import java.util.Map;

/** Tells its value to those whose lifecycle has started. */
public class LiveData<T> {
    private final Map<Observer<? super T>, LifecycleOwner> observers = new LinkedHashMap<>();

    public void observe(LifecycleOwner owner, Observer<? super T> observer) {
        Threads.requireMain("A value is observed");
        observers.put(observer, owner);
    }

    /** For other fakes. */
    public void tell(T value) {
        observers.forEach((observer, owner) -> {
            if (owner.getLifecycle().getCurrentState().compareTo(Lifecycle.State.STARTED) >= 0) observer.onChanged(value);
        });
    }
}
