package android.hardware.camera2;

import android.hardware.camera2.params.StreamConfigurationMap;
import fakes.Camera;

public final class CameraCharacteristics {
    public static final Key<Integer> LENS_FACING = new Key<>();
    public static final Key<Integer> SENSOR_ORIENTATION = new Key<>();
    public static final Key<StreamConfigurationMap> SCALER_STREAM_CONFIGURATION_MAP = new Key<>();
    public static final int LENS_FACING_FRONT = 0;
    public static final int LENS_FACING_BACK = 1;

    private final Camera.Mounted camera;

    CameraCharacteristics(Camera.Mounted camera) {
        this.camera = camera;
    }

    public static final class Key<T> {}

    @SuppressWarnings("unchecked")
    public <T> T get(Key<T> key) {
        if (key == LENS_FACING) return (T) (Integer) (camera.front ? LENS_FACING_FRONT : LENS_FACING_BACK);
        if (key == SENSOR_ORIENTATION) return (T) (Integer) camera.sensor;
        if (key == SCALER_STREAM_CONFIGURATION_MAP) return (T) new StreamConfigurationMap();
        return null;
    }
}
