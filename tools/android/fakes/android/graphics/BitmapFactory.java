package android.graphics;

import fakes.Threads;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import javax.imageio.ImageIO;

/**
 * Decodes with the JVM's decoders, which convert the colors of a picture with a profile to sRGB. Like Android's, it ignores
 * the orientation, and at reduced scale it keeps blocks at the edges that are not whole.
 */
public class BitmapFactory {
    public static class Options {
        public boolean inJustDecodeBounds;
        public Bitmap.Config inPreferredConfig = Bitmap.Config.ARGB_8888;
        public boolean inPremultiplied = true;
        public int inSampleSize;
        public int outWidth;
        public int outHeight;
        public String outMimeType;
    }

    public static Bitmap decodeByteArray(byte[] data, int offset, int length, Options options) {
        Threads.refuseMain("A picture is decoded");
        BufferedImage image;
        try {
            image = ImageIO.read(new ByteArrayInputStream(data, offset, length));
        } catch (IOException reason) {
            image = null;
        }
        options.outWidth = image == null ? -1 : image.getWidth();
        options.outHeight = image == null ? -1 : image.getHeight();
        if (image == null || options.inJustDecodeBounds) return null;
        int size = Math.max(Integer.highestOneBit(Math.max(options.inSampleSize, 1)), 1);
        int width = (image.getWidth() + size - 1) / size;
        int height = (image.getHeight() + size - 1) / size;
        int[] colors = new int[width * height];
        for (int place = 0; place < colors.length; place++) {
            colors[place] = image.getRGB(place % width * size, place / width * size);
        }
        return new Bitmap(width, height, colors, options.inPreferredConfig, options.inPremultiplied);
    }
}
