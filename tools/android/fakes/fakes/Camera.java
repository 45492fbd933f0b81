package fakes;

import android.hardware.display.DisplayManager;
import androidx.camera.core.CameraState;
import androidx.camera.core.ImageAnalysis;
import androidx.camera.core.Preview;
import androidx.camera.core.UseCase;
import androidx.camera.core.UseCaseGroup;
import androidx.lifecycle.LiveData;
import java.util.ArrayList;
import java.util.List;

/** The phone's cameras: what they see, and who uses them. */
public final class Camera {
    /** A camera with the mounting of its sensor, in degrees. */
    public static final class Mounted {
        public final int sensor;
        public final boolean front;

        Mounted(int sensor, boolean front) {
            this.sensor = sensor;
            this.front = front;
        }
    }

    public static final List<Mounted> MOUNTED = new ArrayList<>();

    public static final List<DisplayManager.DisplayListener> LISTENERS = new ArrayList<>();

    /** The open camera; null if there is none. */
    public static volatile Camera open;

    public static int opens;
    public static int closes;

    public final LiveData<CameraState> state = new LiveData<>();
    private final UseCaseGroup group;

    private Camera(UseCaseGroup group) {
        this.group = group;
    }

    public static void reset() {
        MOUNTED.clear();
        MOUNTED.add(new Mounted(270, true));
        MOUNTED.add(new Mounted(90, false));
        LISTENERS.clear();
        open = null;
        opens = 0;
        closes = 0;
    }

    /** For CameraX. */
    public static Camera open(boolean front, UseCaseGroup group) {
        if (open != null) throw new IllegalArgumentException("The use cases of another binding are in use.");
        Mounted mounted = MOUNTED.stream().filter(one -> one.front == front).findFirst().orElseThrow(
                () -> new IllegalArgumentException("Provided camera selector unable to resolve a camera"));
        Camera camera = new Camera(group);
        for (UseCase useCase : group.useCases) {
            if (useCase instanceof ImageAnalysis) ((ImageAnalysis) useCase).connect(mounted, group.port);
            if (useCase instanceof Preview && ((Preview) useCase).provider == null) Misuse.report("A preview has no view");
        }
        Misuse.open(camera, "The camera");
        open = camera;
        opens++;
        return camera;
    }

    public void close() {
        if (!Misuse.isOpen(this)) return;
        for (UseCase useCase : group.useCases) {
            if (useCase instanceof ImageAnalysis) ((ImageAnalysis) useCase).connect(null, null);
        }
        if (open == this) open = null;
        closes++;
        Misuse.close(this);
    }

    /** Lets another app take the camera. CameraX waits for it, and opens it again. */
    public void lose(int error) {
        state.tell(new CameraState() {
            @Override
            public StateError getError() {
                return new StateError() {
                    @Override
                    public int getCode() {
                        return error;
                    }
                };
            }
        });
    }

    /** Whether frames come. */
    public static boolean runs() {
        return open != null;
    }

    /** Lets the camera take a picture. */
    public static void take(Scene scene) {
        Camera camera = open;
        if (camera == null) return;
        for (UseCase useCase : camera.group.useCases) {
            if (useCase instanceof ImageAnalysis) ((ImageAnalysis) useCase).deliver(scene);
        }
    }
}
