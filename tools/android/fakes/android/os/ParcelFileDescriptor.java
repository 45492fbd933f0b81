package android.os;

import java.io.File;
import java.io.FileNotFoundException;

public class ParcelFileDescriptor {
    public static final int MODE_READ_ONLY = 0x10000000;

    /** The opened file. */
    public final File file;

    private ParcelFileDescriptor(File file) {
        this.file = file;
    }

    public static ParcelFileDescriptor open(File file, int mode) throws FileNotFoundException {
        if (mode != MODE_READ_ONLY) throw new FileNotFoundException("only for reading");
        return new ParcelFileDescriptor(file);
    }
}
