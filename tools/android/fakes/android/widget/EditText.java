package android.widget;

import android.content.Context;
import android.text.Editable;
import android.util.AttributeSet;
import java.lang.reflect.Proxy;

public class EditText extends TextView {
    public EditText(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    /** Returns an Editable that knows nothing but its text. */
    @Override
    public Editable getText() {
        String text = super.getText().toString();
        Class<?>[] types = {Editable.class};
        return (Editable) Proxy.newProxyInstance(Editable.class.getClassLoader(), types, (proxy, method, arguments) -> {
            if (method.getName().equals("toString")) return text;
            throw new UnsupportedOperationException(method.toString());
        });
    }
}
