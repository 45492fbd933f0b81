package androidx.camera.lifecycle;

import android.content.Context;
import androidx.camera.core.Camera;
import androidx.camera.core.CameraInfoUnavailableException;
import androidx.camera.core.CameraSelector;
import androidx.camera.core.UseCaseGroup;
import androidx.lifecycle.Lifecycle;
import androidx.lifecycle.LifecycleOwner;
import androidx.lifecycle.LifecycleRegistry;
import com.google.common.util.concurrent.ListenableFuture;
import fakes.Misuse;
import fakes.Phone;
import fakes.Threads;
import java.util.concurrent.Executor;
import java.util.concurrent.FutureTask;

/** The cameras of the phone, for one process. */
public final class ProcessCameraProvider {
    private static final ProcessCameraProvider ONLY = new ProcessCameraProvider();

    private ProcessCameraProvider() {}

    /** Where Kotlin looks for the static methods of a class that is written in Kotlin. */
    public static final Companion Companion = new Companion();

    public static final class Companion {
        private Companion() {}

        public ListenableFuture<ProcessCameraProvider> getInstance(Context context) {
            return ProcessCameraProvider.getInstance(context);
        }
    }

    public static ListenableFuture<ProcessCameraProvider> getInstance(Context context) {
        Ready ready = new Ready();
        ready.run();
        return ready;
    }

    private static final class Ready extends FutureTask<ProcessCameraProvider>
            implements ListenableFuture<ProcessCameraProvider> {
        Ready() {
            super(() -> ONLY);
        }

        @Override
        public void addListener(Runnable listener, Executor executor) {
            executor.execute(listener);
        }
    }

    public boolean hasCamera(CameraSelector selector) throws CameraInfoUnavailableException {
        return fakes.Camera.MOUNTED.stream().anyMatch(one -> one.front == isFront(selector));
    }

    private static boolean isFront(CameraSelector selector) {
        return selector == CameraSelector.DEFAULT_FRONT_CAMERA;
    }

    public Camera bindToLifecycle(LifecycleOwner owner, CameraSelector selector, UseCaseGroup group) {
        Threads.requireMain("A camera is bound");
        if (!Phone.PERMISSIONS.contains("android.permission.CAMERA")) Misuse.report("A camera is used without permission");
        if (owner.getLifecycle().getCurrentState() == Lifecycle.State.DESTROYED) {
            Misuse.report("A camera is bound to a lifecycle that has ended");
            throw new IllegalArgumentException("Trying to create LifecycleCamera with destroyed lifecycle.");
        }
        fakes.Camera camera = fakes.Camera.open(isFront(selector), group);
        ((LifecycleRegistry) owner.getLifecycle()).watch(() -> {
            if (owner.getLifecycle().getCurrentState() == Lifecycle.State.DESTROYED) camera.close();
        });
        return () -> () -> camera.state;
    }

    public void unbindAll() {
        Threads.requireMain("Cameras are unbound");
        if (fakes.Camera.open != null) fakes.Camera.open.close();
    }
}
