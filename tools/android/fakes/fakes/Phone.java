package fakes;

import android.content.Intent;
import android.os.Looper;
import android.util.Log;
import com.google.ai.edge.litert.CompiledModel;
import java.io.File;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.pytorch.executorch.Module;

/** The state of the phone that the fakes share. */
public final class Phone {
    /** The app's folder `src/main`. */
    public static final File APP = new File(System.getProperty("shvit.app"));

    /** The folder of the app's files, and the assets. */
    public static File files;
    public static File assets;

    public static final Set<String> PERMISSIONS = new HashSet<>();

    /** The rotation of the display: a constant of `Surface`. */
    public static int rotation;

    public static boolean lowPower;
    public static int thermal;

    /** The screens that were started, oldest first. */
    public static final List<Intent> STARTED = new ArrayList<>();

    /** The files that other apps provide, by their address. */
    public static final Map<String, byte[]> CONTENT = new HashMap<>();

    private Phone() {}

    /** Makes the phone new, and the current thread its main thread. */
    public static void reset(File folder) {
        files = new File(folder, "files");
        assets = new File(folder, "assets");
        files.mkdirs();
        PERMISSIONS.clear();
        STARTED.clear();
        CONTENT.clear();
        rotation = 0;
        lowPower = false;
        thermal = 0;
        Misuse.reset();
        Log.LINES.clear();
        Looper.reset();
        Module.reset();
        CompiledModel.reset();
        Camera.reset();
    }
}
