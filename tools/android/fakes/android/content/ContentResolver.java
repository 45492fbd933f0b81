package android.content;

import android.net.Uri;
import fakes.Misuse;
import fakes.Phone;
import fakes.Threads;
import java.io.ByteArrayInputStream;
import java.io.FileNotFoundException;
import java.io.InputStream;

public class ContentResolver {
    public final InputStream openInputStream(Uri address) throws FileNotFoundException {
        Threads.refuseMain("A file is read");
        byte[] bytes = Phone.CONTENT.get(address.toString());
        if (bytes == null) throw new FileNotFoundException(address.toString());
        InputStream stream = new ByteArrayInputStream(bytes) {
            @Override
            public void close() {
                Misuse.close(this);
            }
        };
        Misuse.open(stream, "The file of another app");
        return stream;
    }
}
