import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.tree.AbstractInsnNode;
import org.objectweb.asm.tree.ClassNode;
import org.objectweb.asm.tree.FieldInsnNode;
import org.objectweb.asm.tree.IntInsnNode;
import org.objectweb.asm.tree.JumpInsnNode;
import org.objectweb.asm.tree.LineNumberNode;
import org.objectweb.asm.tree.MethodInsnNode;
import org.objectweb.asm.tree.MethodNode;

/**
 * Prints each Android member that compiled classes name: `Members FOLDER...`. A line has, separated by tabs, the
 * location, the class, the name, the descriptor, and the API level that is guaranteed there (0 if none is).
 *
 * A level is guaranteed inside `if (SDK_INT >= level)`, and after `if (SDK_INT < level)` whose body ends the method.
 */
public final class Members {
    /** A range of instructions that only run on this API level and above. */
    private record Guard(int first, int last, int level) {}

    private final Map<String, ClassNode> classes = new TreeMap<>();

    public static void main(String[] folders) throws IOException {
        Members members = new Members();
        for (String folder : folders) {
            try (Stream<Path> files = Files.walk(Path.of(folder))) {
                for (Path file : files.filter(it -> it.toString().endsWith(".class")).sorted().toList()) {
                    ClassNode node = new ClassNode();
                    new ClassReader(Files.readAllBytes(file)).accept(node, ClassReader.SKIP_FRAMES);
                    members.classes.put(node.name, node);
                }
            }
        }
        members.classes.values().forEach(node -> node.methods.forEach(method -> members.print(node, method)));
    }

    private void print(ClassNode owner, MethodNode method) {
        List<Guard> guards = guards(method);
        int line = 0;
        for (int place = 0; place < method.instructions.size(); place++) {
            AbstractInsnNode node = method.instructions.get(place);
            if (node instanceof LineNumberNode number) line = number.line;
            String where = owner.sourceFile + ":" + line;
            int level = sure(guards, place);
            if (node instanceof MethodInsnNode call) print(where, call.owner, call.name, call.desc, level);
            if (node instanceof FieldInsnNode field) print(where, field.owner, field.name, "", level);
        }
    }

    private void print(String where, String named, String name, String descriptor, int level) {
        String owner = inherited(named, name, descriptor);
        if (!owner.startsWith("android/")) return;
        System.out.println(String.join("\t", where, owner, name, descriptor, String.valueOf(level)));
    }

    /** Returns the first superclass outside this project, if the member is not the project's own. */
    private String inherited(String owner, String name, String descriptor) {
        String above = owner;
        while (classes.containsKey(above) && !declares(classes.get(above), name, descriptor)) {
            above = classes.get(above).superName;
        }
        return above;
    }

    private static boolean declares(ClassNode owner, String name, String descriptor) {
        return owner.methods.stream().anyMatch(it -> it.name.equals(name) && it.desc.equals(descriptor))
                || owner.fields.stream().anyMatch(it -> it.name.equals(name) && descriptor.isEmpty());
    }

    private static int sure(List<Guard> guards, int place) {
        Stream<Guard> around = guards.stream().filter(it -> it.first <= place && place <= it.last);
        return around.mapToInt(Guard::level).max().orElse(0);
    }

    /** Matches SDK_INT, a constant and a jump: over the guarded part if the level is too low, or to it otherwise. */
    private static List<Guard> guards(MethodNode method) {
        List<Guard> guards = new ArrayList<>();
        for (AbstractInsnNode node : method.instructions) {
            boolean isLevel = node instanceof FieldInsnNode field && field.name.equals("SDK_INT");
            if (!isLevel || !(node.getNext() instanceof IntInsnNode constant)) continue;
            if (!(constant.getNext() instanceof JumpInsnNode jump)) continue;
            int here = method.instructions.indexOf(jump);
            int there = method.instructions.indexOf(jump.label);
            int end = method.instructions.size();
            switch (jump.getOpcode()) {
                case Opcodes.IF_ICMPLT -> guards.add(new Guard(here, there, constant.operand));
                case Opcodes.IF_ICMPLE -> guards.add(new Guard(here, there, constant.operand + 1));
                case Opcodes.IF_ICMPGE -> guards.add(new Guard(there, end, constant.operand));
                case Opcodes.IF_ICMPGT -> guards.add(new Guard(there, end, constant.operand + 1));
                default -> { }
            }
        }
        return guards;
    }
}
