package android.hardware.display;

import android.os.Handler;
import fakes.Camera;
import fakes.Misuse;

public final class DisplayManager {
    public interface DisplayListener {
        void onDisplayAdded(int display);

        void onDisplayRemoved(int display);

        void onDisplayChanged(int display);
    }

    public void registerDisplayListener(DisplayListener listener, Handler handler) {
        Camera.LISTENERS.add(listener);
        Misuse.open(listener, "A display listener");
    }

    public void unregisterDisplayListener(DisplayListener listener) {
        Camera.LISTENERS.remove(listener);
        Misuse.close(listener);
    }
}
