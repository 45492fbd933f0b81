package android.os;

import fakes.Phone;

public final class PowerManager {
    public boolean isPowerSaveMode() {
        return Phone.lowPower;
    }

    public boolean isSustainedPerformanceModeSupported() {
        return true;
    }

    public int getCurrentThermalStatus() {
        return Phone.thermal;
    }

    public float getThermalHeadroom(int forecastSeconds) {
        return 0.5f + forecastSeconds;
    }
}
