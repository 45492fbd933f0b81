package fakes;

import android.hardware.camera2.CameraDevice;
import android.hardware.display.DisplayManager;
import android.media.ImageReader;
import android.view.Surface;
import java.util.ArrayList;
import java.util.List;

/** The phone's cameras: what they see, and who uses them. */
public final class Camera {
    /** A camera with the mounting of its sensor, in degrees. */
    public static final class Mounted {
        public final String id;
        public final int sensor;
        public final boolean front;

        Mounted(String id, int sensor, boolean front) {
            this.id = id;
            this.sensor = sensor;
            this.front = front;
        }
    }

    public static final List<Mounted> MOUNTED = new ArrayList<>();

    /** The surfaces that receive frames; empty while no session repeats a request. */
    public static final List<Surface> TARGETS = new ArrayList<>();

    public static final List<DisplayManager.DisplayListener> LISTENERS = new ArrayList<>();

    /** The open device; null if there is none. */
    public static volatile CameraDevice device;
    public static int opens;
    public static int closes;

    private Camera() {}

    public static void reset() {
        MOUNTED.clear();
        MOUNTED.add(new Mounted("front", 270, true));
        MOUNTED.add(new Mounted("back", 90, false));
        TARGETS.clear();
        LISTENERS.clear();
        device = null;
        opens = 0;
        closes = 0;
    }

    public static Mounted find(String id) {
        for (Mounted one : MOUNTED) if (one.id.equals(id)) return one;
        throw new IllegalArgumentException("There is no camera " + id);
    }

    /** Whether a session delivers frames to a reader. */
    public static boolean runs() {
        return TARGETS.stream().anyMatch(target -> target.reader != null);
    }

    /** Lets the camera take a picture. */
    public static void take(Scene scene) {
        for (Surface target : new ArrayList<>(TARGETS)) {
            ImageReader reader = target.reader;
            if (reader != null) reader.deliver(scene);
            if (reader == null && !target.isValid()) Misuse.report("The camera draws on a released surface");
        }
    }
}
