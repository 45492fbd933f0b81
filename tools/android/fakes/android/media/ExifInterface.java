package android.media;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;

/** Reads the orientation of a JPEG picture. */
public class ExifInterface {
    private static final int MARKER = 0xFFE1;
    private static final int ORIENTATION_ENTRY = 0x0112;
    private final int orientation;

    public ExifInterface(InputStream stream) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        byte[] part = new byte[4096];
        for (int count = stream.read(part); count >= 0; count = stream.read(part)) all.write(part, 0, count);
        orientation = read(all.toByteArray());
    }

    /** Returns the orientation in the form that the tests write: one entry, in big-endian order. */
    private static int read(byte[] bytes) throws IOException {
        if (bytes.length < 4 || number(bytes, 0) != 0xFFD8) throw new IOException("Invalid marker");
        for (int place = 2; place + 4 < bytes.length; place += 2 + number(bytes, place + 2)) {
            if (number(bytes, place) == MARKER && number(bytes, place + 20) == ORIENTATION_ENTRY) {
                return number(bytes, place + 28);
            }
            if (number(bytes, place) == 0xFFDA) break;
        }
        return 0;
    }

    private static int number(byte[] bytes, int at) {
        return (bytes[at] & 0xFF) << 8 | bytes[at + 1] & 0xFF;
    }

    public int getAttributeInt(String tag, int otherwise) {
        if (!tag.equals("Orientation")) throw new UnsupportedOperationException(tag);
        return orientation == 0 ? otherwise : orientation;
    }
}
