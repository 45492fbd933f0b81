package android.view;

import android.content.Context;
import android.graphics.Matrix;
import android.graphics.SurfaceTexture;
import android.util.AttributeSet;

/** A view whose texture comes after it is on the screen. */
public class TextureView extends View {
    private SurfaceTextureListener listener;
    private SurfaceTexture texture;
    private Matrix transform = new Matrix();

    public TextureView(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    public interface SurfaceTextureListener {
        void onSurfaceTextureAvailable(SurfaceTexture surface, int width, int height);

        void onSurfaceTextureSizeChanged(SurfaceTexture surface, int width, int height);

        boolean onSurfaceTextureDestroyed(SurfaceTexture surface);

        void onSurfaceTextureUpdated(SurfaceTexture surface);
    }

    /** Gives the view its texture. */
    public void appear(int width, int height) {
        layOut(width, height);
        texture = new SurfaceTexture();
        if (listener != null) listener.onSurfaceTextureAvailable(texture, width, height);
    }

    public boolean isAvailable() {
        return texture != null;
    }

    public SurfaceTexture getSurfaceTexture() {
        return texture;
    }

    public void setSurfaceTextureListener(SurfaceTextureListener listener) {
        this.listener = listener;
    }

    public SurfaceTextureListener getSurfaceTextureListener() {
        return listener;
    }

    public void setTransform(Matrix transform) {
        checkThread();
        this.transform = transform;
    }

    public Matrix getTransform() {
        return transform;
    }
}
