import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.jetbrains.kotlin.cli.jvm.K2JVMCompiler;

/**
 * Compiles Kotlin and runs programs, one after the other in one virtual machine, whose compiler is soon several times as
 * fast as a new one's.
 *
 * A line of the input is a command, its words separated by tabs. `compile` and `compile-quietly` have the arguments of
 * kotlinc and answer with its exit status. `run` has a class path of libraries, one of other classes, a class with a static
 * method `run` that takes texts and returns one, and these texts. It loads all but the libraries anew, and answers with
 * the returned text.
 */
public final class Server {
    private static final Map<String, ClassLoader> LIBRARIES = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split("\t", -1);
            answers.println(answer(words[0], Arrays.copyOfRange(words, 1, words.length)));
            answers.flush();
        }
        // Threads that a program left do not keep this one alive.
        System.exit(0);
    }

    private static Object answer(String command, String[] words) throws IOException, ReflectiveOperationException {
        switch (command) {
            case "compile":
                return compile(System.err, words);
            case "compile-quietly":
                return compile(new PrintStream(OutputStream.nullOutputStream()), words);
            case "run":
                return run(words[0], words[1], words[2], Arrays.copyOfRange(words, 3, words.length));
            default:
                throw new IllegalArgumentException(command);
        }
    }

    private static int compile(PrintStream messages, String[] arguments) {
        return new K2JVMCompiler().exec(messages, arguments).getCode();
    }

    private static Object run(String libraries, String paths, String program, String[] arguments)
            throws IOException, ReflectiveOperationException {
        if (!LIBRARIES.containsKey(libraries)) {
            LIBRARIES.put(libraries, new URLClassLoader(urls(libraries), ClassLoader.getPlatformClassLoader()));
        }
        ClassLoader before = Thread.currentThread().getContextClassLoader();
        try (URLClassLoader loader = new URLClassLoader(urls(paths), LIBRARIES.get(libraries))) {
            Thread.currentThread().setContextClassLoader(loader);
            return loader.loadClass(program).getMethod("run", String[].class).invoke(null, (Object) arguments);
        } finally {
            Thread.currentThread().setContextClassLoader(before);
        }
    }

    private static URL[] urls(String paths) throws IOException {
        String[] parts = paths.split(java.io.File.pathSeparator);
        URL[] urls = new URL[parts.length];
        for (int place = 0; place < parts.length; place++) urls[place] = Path.of(parts[place]).toUri().toURL();
        return urls;
    }
}
