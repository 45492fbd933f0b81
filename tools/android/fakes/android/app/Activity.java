package android.app;

import android.content.Context;
import android.content.Intent;
import android.os.Bundle;
import android.os.Looper;
import android.view.LayoutInflater;
import android.view.MenuItem;
import android.view.View;
import android.view.Window;
import fakes.Misuse;
import fakes.Phone;
import fakes.Threads;

/** A screen, whose life a test leads: see {@link Screens}. */
public class Activity extends Context {
    public static final int RESULT_OK = -1;

    Intent intent = new Intent();
    Object retained;
    boolean changingConfigurations;
    boolean destroyed;
    boolean finishing;

    /** Whether the superclass was called, which Android requires. */
    boolean called;
    private final Window window = new Window();
    private View content;

    protected void onCreate(Bundle state) {
        called = true;
    }

    protected void onNewIntent(Intent intent) {
        called = true;
    }

    protected void onStart() {
        called = true;
    }

    protected void onResume() {
        called = true;
    }

    protected void onPause() {
        called = true;
    }

    protected void onStop() {
        called = true;
    }

    protected void onDestroy() {
        called = true;
    }

    protected void onSaveInstanceState(Bundle state) {}

    protected void onActivityResult(int request, int result, Intent data) {}

    public void onTrimMemory(int level) {}

    public void onRequestPermissionsResult(int request, String[] permissions, int[] results) {}

    public Object onRetainNonConfigurationInstance() {
        return null;
    }

    public Object getLastNonConfigurationInstance() {
        return retained;
    }

    public boolean onOptionsItemSelected(MenuItem item) {
        return false;
    }

    public Intent getIntent() {
        return intent;
    }

    public void setIntent(Intent intent) {
        this.intent = intent;
    }

    public boolean isFinishing() {
        return finishing;
    }

    public void finish() {
        finishing = true;
    }

    public boolean isDestroyed() {
        return destroyed;
    }

    public boolean isChangingConfigurations() {
        return changingConfigurations;
    }

    public Window getWindow() {
        return window;
    }

    public LayoutInflater getLayoutInflater() {
        return new LayoutInflater(this);
    }

    public void setContentView(int layout) {
        Threads.requireMain("A screen is changed");
        content = getLayoutInflater().inflate(layout, null, false);
    }

    public View findViewById(int id) {
        return content.findViewById(id);
    }

    public final void runOnUiThread(Runnable task) {
        if (Looper.getMainLooper().isCurrentThread()) task.run();
        else new android.os.Handler(Looper.getMainLooper()).post(task);
    }

    public final void requestPermissions(String[] permissions, int request) {
        if (destroyed) Misuse.report("A destroyed screen asks for permissions");
        Screens.asked = permissions;
    }

    public boolean shouldShowRequestPermissionRationale(String permission) {
        return Screens.mayAskAgain;
    }

    public void startActivityForResult(Intent intent, int request) {
        Phone.STARTED.add(intent);
    }
}
