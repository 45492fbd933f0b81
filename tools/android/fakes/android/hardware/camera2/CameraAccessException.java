package android.hardware.camera2;

public class CameraAccessException extends Exception {
    private static final long serialVersionUID = 1;
    private final int reason;

    public CameraAccessException(int reason) {
        super("camera access error " + reason);
        this.reason = reason;
    }

    public int getReason() {
        return reason;
    }
}
