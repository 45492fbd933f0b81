package android.content;

import android.app.ActivityManager;
import android.content.pm.PackageManager;
import android.content.res.AssetManager;
import android.content.res.Resources;
import android.hardware.display.DisplayManager;
import android.os.BatteryManager;
import android.os.Bundle;
import android.os.PowerManager;
import fakes.Phone;
import java.io.File;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The app's context. */
public class Context {
    public static final int MODE_PRIVATE = 0;

    private static final List<Class<?>> SERVICES = Arrays.asList(
            ActivityManager.class, DisplayManager.class, PowerManager.class);
    private static final Map<String, String> SETTINGS = new ConcurrentHashMap<>();

    private final Resources resources = new Resources();

    /** For tests: a context as a provider or an application has it. */
    public static Context create() {
        SETTINGS.clear();
        return new Context();
    }

    public Context getApplicationContext() {
        return new Context();
    }

    public String getPackageName() {
        return "dev.shvit.demo";
    }

    public Resources getResources() {
        return resources;
    }

    public final String getString(int id) {
        return resources.getString(id);
    }

    public final String getString(int id, Object... arguments) {
        return resources.getString(id, arguments);
    }

    public final int getColor(int id) {
        resources.getResourceEntryName(id);
        return 0xFF336699;
    }

    public AssetManager getAssets() {
        return new AssetManager();
    }

    public File getFilesDir() {
        return Phone.files;
    }

    public File getNoBackupFilesDir() {
        return Phone.files;
    }

    public File getExternalFilesDir(String type) {
        return Phone.files;
    }

    public ContentResolver getContentResolver() {
        return new ContentResolver();
    }

    public PackageManager getPackageManager() {
        return new PackageManager();
    }

    public SharedPreferences getSharedPreferences(String name, int mode) {
        return new Settings(SETTINGS);
    }

    public final <T> T getSystemService(Class<T> type) {
        if (!SERVICES.contains(type)) throw new UnsupportedOperationException(type + " is not acted out");
        try {
            return type.getConstructor().newInstance();
        } catch (ReflectiveOperationException reason) {
            throw new IllegalStateException(reason);
        }
    }

    public int checkSelfPermission(String permission) {
        return Phone.PERMISSIONS.contains(permission)
                ? PackageManager.PERMISSION_GRANTED
                : PackageManager.PERMISSION_DENIED;
    }

    /** Without a receiver: returns the battery's state. */
    public Intent registerReceiver(BroadcastReceiver receiver, IntentFilter filter) {
        if (receiver != null) throw new UnsupportedOperationException("receivers are not acted out");
        Bundle extras = new Bundle();
        extras.put(BatteryManager.EXTRA_LEVEL, 40);
        extras.put(BatteryManager.EXTRA_SCALE, 50);
        extras.put(BatteryManager.EXTRA_PLUGGED, 2);
        return new Intent("android.intent.action.BATTERY_CHANGED").putExtras(extras);
    }

    public void startActivity(Intent intent) {
        Phone.STARTED.add(intent);
    }

    private static final class Settings implements SharedPreferences, SharedPreferences.Editor {
        private final Map<String, String> stored;
        private final Map<String, String> edited = new HashMap<>();

        Settings(Map<String, String> stored) {
            this.stored = stored;
        }

        @Override
        public String getString(String key, String otherwise) {
            return stored.getOrDefault(key, otherwise);
        }

        @Override
        public boolean getBoolean(String key, boolean otherwise) {
            return stored.containsKey(key) ? Boolean.parseBoolean(stored.get(key)) : otherwise;
        }

        @Override
        public SharedPreferences.Editor edit() {
            return new Settings(stored);
        }

        @Override
        public SharedPreferences.Editor putString(String key, String value) {
            edited.put(key, value);
            return this;
        }

        @Override
        public SharedPreferences.Editor putBoolean(String key, boolean value) {
            return putString(key, Boolean.toString(value));
        }

        @Override
        public void apply() {
            stored.putAll(edited);
        }
    }
}
