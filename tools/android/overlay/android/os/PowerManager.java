package android.os;

import java.util.concurrent.Executor;
import overlay.Since;

public final class PowerManager {
    @Since(29)
    public static final int THERMAL_STATUS_NONE = 0;

    @Since(29)
    public static final int THERMAL_STATUS_LIGHT = 1;

    @Since(29)
    public static final int THERMAL_STATUS_MODERATE = 2;

    @Since(29)
    public static final int THERMAL_STATUS_SEVERE = 3;

    @Since(29)
    public static final int THERMAL_STATUS_CRITICAL = 4;

    @Since(29)
    public static final int THERMAL_STATUS_EMERGENCY = 5;

    @Since(29)
    public static final int THERMAL_STATUS_SHUTDOWN = 6;

    @Since(24)
    public boolean isSustainedPerformanceModeSupported() {
        throw new RuntimeException();
    }

    @Since(29)
    public int getCurrentThermalStatus() {
        throw new RuntimeException();
    }

    @Since(30)
    public float getThermalHeadroom(int forecastSeconds) {
        throw new RuntimeException();
    }

    @Since(29)
    public void addThermalStatusListener(OnThermalStatusChangedListener listener) {
        throw new RuntimeException();
    }

    @Since(29)
    public void addThermalStatusListener(Executor executor, OnThermalStatusChangedListener listener) {
        throw new RuntimeException();
    }

    @Since(29)
    public void removeThermalStatusListener(OnThermalStatusChangedListener listener) {
        throw new RuntimeException();
    }

    @Since(29)
    public interface OnThermalStatusChangedListener {
        void onThermalStatusChanged(int status);
    }
}
