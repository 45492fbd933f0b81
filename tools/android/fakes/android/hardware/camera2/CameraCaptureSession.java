package android.hardware.camera2;

import android.os.Handler;
import android.view.Surface;
import fakes.Camera;
import java.util.List;

public class CameraCaptureSession implements AutoCloseable {
    private final CameraDevice device;
    private final List<Surface> surfaces;

    CameraCaptureSession(CameraDevice device, List<Surface> surfaces) {
        this.device = device;
        this.surfaces = surfaces;
    }

    public abstract static class CaptureCallback {}

    public abstract static class StateCallback {
        public abstract void onConfigured(CameraCaptureSession session);

        public abstract void onConfigureFailed(CameraCaptureSession session);
    }

    public int setRepeatingRequest(CaptureRequest request, CaptureCallback callback, Handler handler)
            throws CameraAccessException {
        device.check();
        if (!surfaces.containsAll(request.targets)) {
            throw new IllegalArgumentException("Request targets Surface that is not in the session");
        }
        if (request.targets.isEmpty()) throw new IllegalArgumentException("Each request must have at least one target");
        Camera.TARGETS.clear();
        Camera.TARGETS.addAll(request.targets);
        return 1;
    }

    public void stopRepeating() throws CameraAccessException {
        device.check();
        Camera.TARGETS.clear();
    }

    @Override
    public void close() {
        Camera.TARGETS.clear();
    }
}
