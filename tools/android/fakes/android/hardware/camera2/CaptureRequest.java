package android.hardware.camera2;

import android.view.Surface;
import java.util.ArrayList;
import java.util.List;

public final class CaptureRequest {
    public static final Key<Integer> CONTROL_AF_MODE = new Key<>();
    public static final int CONTROL_AF_MODE_CONTINUOUS_PICTURE = 4;

    final List<Surface> targets = new ArrayList<>();

    public static final class Key<T> {}

    public static final class Builder {
        private final CaptureRequest request = new CaptureRequest();

        public void addTarget(Surface surface) {
            request.targets.add(surface);
        }

        public <T> void set(Key<T> key, T value) {}

        public CaptureRequest build() {
            return request;
        }
    }
}
