import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.tree.AnnotationNode;
import org.objectweb.asm.tree.ClassNode;

/**
 * Merges newer members into older framework classes: `Merge OVERLAY JAR INTO`.
 *
 * OVERLAY contains compiled classes that declare only what is newer than JAR, each class or member with its API level
 * (`overlay.Since`). INTO receives the classes of JAR with these members added, and the new classes. Put it before JAR
 * on the class path. A member that JAR already has is an error.
 */
public final class Merge {
    private static final String SINCE = "Loverlay/Since;";

    private final ZipFile framework;
    private final Path into;

    private Merge(ZipFile framework, Path into) {
        this.framework = framework;
        this.into = into;
    }

    public static void main(String[] arguments) throws IOException {
        Path overlay = Path.of(arguments[0]);
        try (ZipFile framework = new ZipFile(arguments[1]);
                Stream<Path> files = Files.walk(overlay)) {
            Merge merge = new Merge(framework, Path.of(arguments[2]));
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                String name = overlay.relativize(file).toString();
                merge.add(name, read(Files.readAllBytes(file)));
                merge.copyNested(name);
            }
        }
    }

    private void add(String name, ClassNode newer) throws IOException {
        ZipEntry entry = framework.getEntry(name);
        if (entry != null) {
            write(name, merged(read(framework.getInputStream(entry).readAllBytes()), newer));
        } else if (isMarked(newer.invisibleAnnotations) || newer.name.equals("overlay/Since")) {
            write(name, newer);
        } else {
            throw new IllegalArgumentException(newer.name + " is new and does not say since when.");
        }
    }

    /** Kotlin's compiler only looks for nested classes beside their outer class. */
    private void copyNested(String name) throws IOException {
        String prefix = name.replaceFirst("(\\$.*)?\\.class$", "\\$");
        for (ZipEntry entry : framework.stream().filter(it -> it.getName().startsWith(prefix)).toList()) {
            if (Files.notExists(into.resolve(entry.getName()))) {
                write(entry.getName(), read(framework.getInputStream(entry).readAllBytes()));
            }
        }
    }

    private static ClassNode merged(ClassNode older, ClassNode newer) {
        newer.fields.stream().filter(field -> isMarked(field.invisibleAnnotations)).forEach(field -> {
            refuse(older.fields.stream().anyMatch(it -> it.name.equals(field.name)), older, field.name);
            older.fields.add(field);
        });
        newer.methods.stream().filter(method -> isMarked(method.invisibleAnnotations)).forEach(method -> {
            String signature = method.name + method.desc;
            refuse(older.methods.stream().anyMatch(it -> signature.equals(it.name + it.desc)), older, signature);
            older.methods.add(method);
        });
        Set<String> known = older.innerClasses.stream().map(it -> it.name).collect(Collectors.toSet());
        newer.innerClasses.stream().filter(it -> !known.contains(it.name)).forEach(older.innerClasses::add);
        return older;
    }

    private static void refuse(boolean isThere, ClassNode owner, String member) {
        if (isThere) throw new IllegalArgumentException(owner.name + "." + member + " is no newer than the framework.");
    }

    private static boolean isMarked(List<AnnotationNode> annotations) {
        return annotations != null && annotations.stream().anyMatch(it -> it.desc.equals(SINCE));
    }

    private static ClassNode read(byte[] bytes) {
        ClassNode node = new ClassNode();
        new ClassReader(bytes).accept(node, 0);
        return node;
    }

    private void write(String name, ClassNode node) throws IOException {
        ClassWriter writer = new ClassWriter(0);
        node.accept(writer);
        Path file = into.resolve(name);
        Files.createDirectories(file.getParent());
        Files.write(file, writer.toByteArray());
    }
}
