package android.media;

import java.io.IOException;
import java.io.InputStream;
import overlay.Since;

public class ExifInterface {
    @Since(24)
    public ExifInterface(InputStream inputStream) throws IOException {
        throw new IOException();
    }
}
