package androidx.camera.lifecycle;

import android.content.Context;
import androidx.camera.core.Camera;
import androidx.camera.core.CameraInfoUnavailableException;
import androidx.camera.core.CameraSelector;
import androidx.camera.core.UseCaseGroup;
import androidx.lifecycle.LifecycleOwner;
import com.google.common.util.concurrent.ListenableFuture;

public final class ProcessCameraProvider {
    private ProcessCameraProvider() {}

    public static ListenableFuture<ProcessCameraProvider> getInstance(Context context) {
        throw new UnsupportedOperationException();
    }

    public boolean hasCamera(CameraSelector selector) throws CameraInfoUnavailableException {
        throw new UnsupportedOperationException();
    }

    public Camera bindToLifecycle(LifecycleOwner owner, CameraSelector selector, UseCaseGroup group) {
        throw new UnsupportedOperationException();
    }

    public void unbindAll() {
        throw new UnsupportedOperationException();
    }
}
