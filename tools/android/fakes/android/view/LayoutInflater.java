package android.view;

import android.content.Context;
import android.util.AttributeSet;
import android.widget.TextView;
import fakes.Phone;
import java.io.File;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Element;
import org.w3c.dom.Node;

/** Builds views from the app's layouts: their classes, ids, texts and visibility. */
public final class LayoutInflater {
    private final Context context;

    public LayoutInflater(Context context) {
        this.context = context;
    }

    public View inflate(int layout, ViewGroup root, boolean attach) {
        String name = context.getResources().getResourceEntryName(layout);
        try {
            File file = new File(Phone.APP, "res/layout/" + name + ".xml");
            View view = build(DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(file).getDocumentElement());
            if (attach) root.addView(view);
            return view;
        } catch (Exception reason) {
            throw new IllegalStateException("The layout " + name + " cannot be built", reason);
        }
    }

    private View build(Element element) throws Exception {
        View view = (View) find(element.getTagName())
                .getConstructor(Context.class, AttributeSet.class)
                .newInstance(context, null);
        String id = element.getAttribute("android:id");
        if (!id.isEmpty()) {
            view.setId(context.getResources().getIdentifier(id.substring(id.indexOf('/') + 1), "id"));
        }
        String text = element.getAttribute("android:text");
        if (text.startsWith("@string/")) {
            ((TextView) view).setText(context.getResources().getIdentifier(text.substring(8), "string"));
        } else if (!text.isEmpty()) {
            ((TextView) view).setText(text);
        }
        if (element.getAttribute("android:visibility").equals("gone")) view.setVisibility(View.GONE);
        for (Node node = element.getFirstChild(); node != null; node = node.getNextSibling()) {
            if (node instanceof Element) ((ViewGroup) view).addView(build((Element) node));
        }
        return view;
    }

    private static Class<?> find(String tag) throws ClassNotFoundException {
        if (tag.contains(".")) return Class.forName(tag);
        String folder = tag.endsWith("View") && (tag.startsWith("Texture") || tag.equals("View")) ? "view" : "widget";
        return Class.forName("android." + folder + "." + tag);
    }
}
