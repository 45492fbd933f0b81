package android.content.res;

import fakes.Misuse;
import fakes.Phone;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;

public final class AssetManager {
    public String[] list(String folder) {
        refuse(folder);
        String[] names = new File(Phone.assets, folder).list();
        return names == null ? new String[0] : names;
    }

    public InputStream open(String file) throws IOException {
        refuse(file);
        InputStream stream = new FileInputStream(new File(Phone.assets, file)) {
            @Override
            public void close() throws IOException {
                Misuse.close(this);
                super.close();
            }
        };
        Misuse.open(stream, "The asset " + file);
        return stream;
    }

    private static void refuse(String path) {
        if (path.endsWith("/") || path.startsWith("/")) Misuse.report("Assets have no path " + path);
    }
}
