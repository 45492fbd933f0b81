package android.graphics;

public class SurfaceTexture {
    public int width;
    public int height;

    public void setDefaultBufferSize(int width, int height) {
        this.width = width;
        this.height = height;
    }
}
