package android.hardware.camera2;

import android.os.Handler;
import android.view.Surface;
import fakes.Camera;
import fakes.Misuse;
import java.util.List;

public class CameraDevice implements AutoCloseable {
    public static final int TEMPLATE_PREVIEW = 1;

    private final String id;
    private final StateCallback callback;
    private final Handler handler;

    CameraDevice(String id, StateCallback callback, Handler handler) {
        this.id = id;
        this.callback = callback;
        this.handler = handler;
    }

    public abstract static class StateCallback {
        public abstract void onOpened(CameraDevice camera);

        public abstract void onDisconnected(CameraDevice camera);

        public abstract void onError(CameraDevice camera, int error);

        public void onClosed(CameraDevice camera) {}
    }

    /** Lets the phone take the camera away. */
    public void disconnect() {
        Camera.TARGETS.clear();
        handler.post(() -> callback.onDisconnected(this));
    }

    public String getId() {
        return id;
    }

    public CaptureRequest.Builder createCaptureRequest(int template) throws CameraAccessException {
        check();
        return new CaptureRequest.Builder();
    }

    public void createCaptureSession(
            List<Surface> surfaces, CameraCaptureSession.StateCallback callback, Handler handler)
            throws CameraAccessException {
        check();
        CameraCaptureSession session = new CameraCaptureSession(this, surfaces);
        for (Surface surface : surfaces) {
            if (!surface.isValid()) throw new IllegalArgumentException("Surface was abandoned");
        }
        handler.post(() -> callback.onConfigured(session));
    }

    void check() {
        if (!Misuse.isOpen(this)) throw new IllegalStateException("CameraDevice was already closed");
    }

    /** Ends its session, too. */
    @Override
    public void close() {
        if (!Misuse.isOpen(this)) return;
        Camera.TARGETS.clear();
        if (Camera.device == this) Camera.device = null;
        Camera.closes++;
        Misuse.close(this);
        handler.post(() -> callback.onClosed(this));
    }
}
