package android.view;

import android.content.Context;
import android.util.AttributeSet;
import java.util.ArrayList;
import java.util.List;

public class ViewGroup extends View {
    private final List<View> children = new ArrayList<>();

    public ViewGroup(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    public void addView(View child) {
        checkThread();
        if (children.contains(child)) throw new IllegalStateException("The child already has a parent");
        children.add(child);
    }

    public void removeAllViews() {
        checkThread();
        children.clear();
    }

    public int getChildCount() {
        return children.size();
    }

    public View getChildAt(int index) {
        return index < children.size() ? children.get(index) : null;
    }

    @Override
    public View findViewById(int id) {
        if (getId() == id) return this;
        for (View child : children) {
            View found = child.findViewById(id);
            if (found != null) return found;
        }
        return null;
    }
}
