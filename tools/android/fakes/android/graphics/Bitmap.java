package android.graphics;

import fakes.Misuse;
import java.nio.Buffer;
import java.nio.ByteBuffer;

/** Pixels whose rows are padded. */
public final class Bitmap {
    public enum Config { ALPHA_8, RGB_565, ARGB_4444, ARGB_8888, RGBA_F16, HARDWARE }

    private static final int PADDING = 20;

    private final int width;
    private final int height;
    private final Config config;
    private final boolean premultiplied;
    /** 0xAARRGGBB, not premultiplied. */
    private final int[] colors;
    private boolean recycled;

    Bitmap(int width, int height, int[] colors, Config config, boolean premultiplied) {
        if (width < 1 || height < 1) throw new IllegalArgumentException("width and height must be > 0");
        this.width = width;
        this.height = height;
        this.colors = colors;
        this.config = config;
        this.premultiplied = premultiplied;
    }

    public static Bitmap createBitmap(int[] colors, int width, int height, Config config) {
        return new Bitmap(width, height, colors.clone(), config, true);
    }

    public int getWidth() {
        return width;
    }

    public int getHeight() {
        return height;
    }

    public Config getConfig() {
        return config;
    }

    public boolean isPremultiplied() {
        return premultiplied;
    }

    public boolean isRecycled() {
        return recycled;
    }

    public int getRowBytes() {
        check();
        return width * (config == Config.RGB_565 ? 2 : 4) + PADDING;
    }

    public int getByteCount() {
        return getRowBytes() * height;
    }

    public int getPixel(int x, int y) {
        readable();
        return colors[y * width + x];
    }

    public void getPixels(int[] into, int offset, int stride, int x, int y, int width, int height) {
        readable();
        for (int row = 0; row < height; row++) {
            System.arraycopy(colors, (y + row) * this.width + x, into, offset + row * stride, width);
        }
    }

    public Bitmap copy(Config config, boolean mutable) {
        check();
        if (config == Config.HARDWARE && mutable) throw new IllegalArgumentException("Hardware bitmaps are immutable");
        return new Bitmap(width, height, colors.clone(), config, premultiplied);
    }

    public void copyPixelsToBuffer(Buffer target) {
        readable();
        if (config != Config.ARGB_8888) throw new UnsupportedOperationException(config + " is not acted out");
        ByteBuffer bytes = (ByteBuffer) target;
        if (bytes.remaining() < getByteCount()) throw new RuntimeException("Buffer not large enough for pixels");
        for (int row = 0; row < height; row++) {
            for (int column = 0; column < width; column++) {
                int color = colors[row * width + column];
                int alpha = color >>> 24;
                for (int shift = 16; shift >= 0; shift -= 8) {
                    int value = color >> shift & 0xFF;
                    bytes.put((byte) (premultiplied ? (value * alpha + 127) / 255 : value));
                }
                bytes.put((byte) alpha);
            }
            for (int place = 0; place < PADDING; place++) bytes.put((byte) 0xA5);
        }
    }

    public void recycle() {
        recycled = true;
    }

    private void readable() {
        check();
        if (config == Config.HARDWARE) throw Misuse.fail("A bitmap in graphics memory is read");
    }

    private void check() {
        if (recycled) throw Misuse.fail("A recycled bitmap is used");
    }
}
