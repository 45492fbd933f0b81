package android.hardware.camera2;

import android.os.Handler;
import fakes.Camera;
import fakes.Misuse;
import fakes.Phone;

public final class CameraManager {
    public String[] getCameraIdList() {
        return Camera.MOUNTED.stream().map(one -> one.id).toArray(String[]::new);
    }

    public CameraCharacteristics getCameraCharacteristics(String id) {
        return new CameraCharacteristics(Camera.find(id));
    }

    public void openCamera(String id, CameraDevice.StateCallback callback, Handler handler) {
        if (!Phone.PERMISSIONS.contains("android.permission.CAMERA")) throw new SecurityException("no permission");
        CameraDevice device = new CameraDevice(Camera.find(id).id, callback, handler);
        Misuse.open(device, "The camera");
        handler.post(() -> {
            if (Camera.device != null) Misuse.report("A camera is opened while another one is open");
            Camera.device = device;
            Camera.opens++;
            callback.onOpened(device);
        });
    }
}
