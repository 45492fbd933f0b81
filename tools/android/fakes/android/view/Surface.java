package android.view;

import android.graphics.SurfaceTexture;
import android.media.ImageReader;
import fakes.Misuse;

public class Surface {
    public static final int ROTATION_0 = 0;
    public static final int ROTATION_90 = 1;
    public static final int ROTATION_180 = 2;
    public static final int ROTATION_270 = 3;

    /** The reader that receives what is drawn here; null for a view. */
    public final ImageReader reader;
    private boolean released;

    public Surface(SurfaceTexture texture) {
        if (texture == null) throw new IllegalArgumentException("surfaceTexture must not be null");
        if (texture.width == 0) Misuse.report("The preview has no size: the camera stretches one that it chooses");
        reader = null;
        Misuse.open(this, "The preview's surface");
    }

    /** For {@link ImageReader}. */
    public Surface(ImageReader reader, int width, int height, int format) {
        this.reader = reader;
    }

    public boolean isValid() {
        return !released;
    }

    public void release() {
        released = true;
        Misuse.close(this);
    }
}
