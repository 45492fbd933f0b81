package fakes;

import android.media.Image;
import java.nio.ByteBuffer;

/**
 * What a camera sees, as its sensor delivers it: a color for each place. As frames, it has the padded rows and shared
 * chroma planes that real cameras use.
 */
public final class Scene {
    public static final int YUV_420_888 = 0x23;

    /** Returns 0xRRGGBB of a place, each coordinate from 0 to 1. */
    public interface Colors {
        int at(double x, double y);
    }

    /** How the planes lie in memory. */
    public enum Memory {
        /** Three planes of their own. */
        PLANAR(1, false),
        /** Blue chroma, then red chroma, alternating. */
        BLUE_FIRST(2, false),
        /** Red chroma, then blue chroma, alternating. */
        RED_FIRST(2, true);

        final int pixelStride;
        final boolean redFirst;

        Memory(int pixelStride, boolean redFirst) {
            this.pixelStride = pixelStride;
            this.redFirst = redFirst;
        }
    }

    private static final int PADDING = 24;
    private static final int LEAD = 5;

    private final Colors colors;
    private final Memory memory;

    public Scene(Colors colors, Memory memory) {
        this.colors = colors;
        this.memory = memory;
    }

    /** Returns the scene as a frame. The last row of a plane ends with its last sample. */
    public Image toImage(int width, int height, Runnable closed) {
        int across = (width + 1) / 2;
        int down = (height + 1) / 2;
        int step = memory.pixelStride;
        int lumaStride = width + PADDING;
        int chromaStride = across * step + PADDING;
        byte[] luma = new byte[(height - 1) * lumaStride + width];
        for (int row = 0; row < height; row++) {
            for (int column = 0; column < width; column++) {
                int color = colors.at((column + 0.5) / width, (row + 0.5) / height);
                luma[row * lumaStride + column] = sample(0.299, 0.587, 0.114, color, 0);
            }
        }
        byte[] chroma = new byte[(down - 1) * chromaStride + (across - 1) * step + 1];
        byte[] blue = chroma.clone();
        byte[] red = chroma;
        for (int row = 0; row < down; row++) {
            for (int column = 0; column < across; column++) {
                int color = colors.at((2 * column + 1.0) / width, (2 * row + 1.0) / height);
                int place = row * chromaStride + column * step;
                blue[place] = sample(-0.168736, -0.331264, 0.5, color, 128);
                red[place] = sample(0.5, -0.418688, -0.081312, color, 128);
            }
        }
        Image.Plane y = new Image.Plane(direct(luma), lumaStride, 1);
        Image.Plane[] planes;
        if (step == 1) {
            planes = new Image.Plane[] {
                y, new Image.Plane(direct(blue), chromaStride, 1), new Image.Plane(direct(red), chromaStride, 1)
            };
        } else {
            byte[] first = memory.redFirst ? red : blue;
            byte[] second = memory.redFirst ? blue : red;
            ByteBuffer both = ByteBuffer.allocateDirect(first.length + 1);
            for (int place = 0; place < first.length; place += step) {
                both.put(place, first[place]);
                both.put(place + 1, second[place]);
            }
            Image.Plane one = new Image.Plane(slice(both, 0, first.length), chromaStride, step);
            Image.Plane other = new Image.Plane(slice(both, 1, first.length), chromaStride, step);
            planes = new Image.Plane[] {y, memory.redFirst ? other : one, memory.redFirst ? one : other};
        }
        return new Image(width, height, planes, closed);
    }

    private static byte sample(double red, double green, double blue, int color, int offset) {
        double value = red * (color >> 16 & 0xFF) + green * (color >> 8 & 0xFF) + blue * (color & 0xFF) + offset;
        return (byte) Math.max(0, Math.min(255, Math.round(value)));
    }

    /** Returns a part of a larger block of memory, as the camera's buffers are. */
    private static ByteBuffer direct(byte[] bytes) {
        ByteBuffer buffer = ByteBuffer.allocateDirect(LEAD + bytes.length);
        for (int place = 0; place < bytes.length; place++) buffer.put(LEAD + place, bytes[place]);
        return slice(buffer, LEAD, bytes.length);
    }

    private static ByteBuffer slice(ByteBuffer buffer, int first, int length) {
        ByteBuffer part = buffer.duplicate();
        part.position(first);
        part.limit(first + length);
        return part.slice();
    }
}
