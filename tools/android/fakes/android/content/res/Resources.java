package android.content.res;

import android.util.DisplayMetrics;
import fakes.Phone;
import java.io.File;
import java.lang.reflect.Field;
import java.util.HashMap;
import java.util.Map;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/** The app's texts, by the numbers of its class `R`. */
public class Resources {
    private static final String R = "dev.shvit.demo.R";
    private static final Map<Integer, String> NAMES = new HashMap<>();
    private static final Map<String, String> TEXTS = new HashMap<>();

    static {
        try {
            for (Class<?> kind : Class.forName(R).getClasses()) {
                for (Field field : kind.getFields()) {
                    if (field.getType() == int.class) NAMES.put(field.getInt(null), field.getName());
                }
            }
            File file = new File(Phone.APP, "res/values/strings.xml");
            Element all = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(file).getDocumentElement();
            NodeList texts = all.getElementsByTagName("string");
            for (int place = 0; place < texts.getLength(); place++) {
                Element text = (Element) texts.item(place);
                TEXTS.put(text.getAttribute("name"), plain(text.getTextContent()));
            }
            NodeList plurals = all.getElementsByTagName("plurals");
            for (int place = 0; place < plurals.getLength(); place++) {
                Element text = (Element) plurals.item(place);
                NodeList items = text.getElementsByTagName("item");
                for (int item = 0; item < items.getLength(); item++) {
                    Element one = (Element) items.item(item);
                    String name = text.getAttribute("name") + "/" + one.getAttribute("quantity");
                    TEXTS.put(name, plain(one.getTextContent()));
                }
            }
        } catch (Exception reason) {
            throw new IllegalStateException("The app's texts cannot be read", reason);
        }
    }

    private static String plain(String text) {
        return text.replace("\\n", "\n").replace("\\'", "'").replace("\\\"", "\"");
    }

    public String getResourceEntryName(int id) {
        String name = NAMES.get(id);
        if (name == null) throw new IllegalArgumentException("No resource has the number " + id);
        return name;
    }

    /** For layouts: returns the number of a name. */
    public int getIdentifier(String name, String kind) {
        try {
            return Class.forName(R + "$" + kind).getField(name).getInt(null);
        } catch (ReflectiveOperationException reason) {
            throw new IllegalArgumentException(kind + "/" + name, reason);
        }
    }

    public String getString(int id) {
        return text(getResourceEntryName(id));
    }

    public String getString(int id, Object... arguments) {
        return String.format(getString(id), arguments);
    }

    public String getQuantityString(int id, int quantity, Object... arguments) {
        return String.format(text(getResourceEntryName(id) + (quantity == 1 ? "/one" : "/other")), arguments);
    }

    private static String text(String name) {
        String text = TEXTS.get(name);
        if (text == null) throw new IllegalArgumentException("There is no text " + name);
        return text;
    }

    public int getDimensionPixelSize(int id) {
        getResourceEntryName(id);
        return 48;
    }

    public DisplayMetrics getDisplayMetrics() {
        return new DisplayMetrics();
    }
}
