package androidx.camera.core;

/** The part of a camera's picture that a view shows: the middle, in the view's aspect ratio. */
public final class ViewPort {
    final int width;
    final int height;

    /** For {@link androidx.camera.view.PreviewView}. */
    public ViewPort(int width, int height) {
        this.width = width;
        this.height = height;
    }
}
