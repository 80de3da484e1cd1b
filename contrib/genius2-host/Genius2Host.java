import java.io.DataInputStream;
import java.io.EOFException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * Runs one negotiating party for a parties server: java -cp PARTY.jar:CORE.jar:. Genius2Host CLASS VERB, where VERB is
 * capabilities, description or run. A run speaks over standard input and output, each message behind four bytes of
 * length, least first. The core is found by its names alone, so nothing of it is needed to compile this; other names
 * are given with -Dinform=CLASS and -Dmapper=CLASS.
 */
public final class Genius2Host {
    private static final int MOST_BYTES = 20_000_000;
    private final List<Object> listeners = new CopyOnWriteArrayList<>();
    private final OutputStream out;
    private final Object mapper;

    private Genius2Host(OutputStream out) throws Exception {
        this.out = out;
        mapper = made(System.getProperty("mapper", "com.fasterxml.jackson.databind.ObjectMapper"));
    }

    public static void main(String[] words) {
        PrintStream out = System.out;
        System.setOut(System.err); // what a party prints is for its operator, and no message
        Thread.setDefaultUncaughtExceptionHandler((thread, failure) -> fail(failure));
        try {
            new Genius2Host(out).serve(made(words[0]), words[1]);
            out.flush();
            System.exit(0);
        } catch (Throwable failure) {
            fail(failure);
        }
    }

    private void serve(Object party, String verb) throws Exception {
        if (!verb.equals("run")) {
            out.write(written(call(party, verb.equals("capabilities") ? "getCapabilities" : "getDescription")));
            return;
        }
        Method connect = method(party, "connect", 1);
        Class<?> link = connect.getParameterTypes()[0];
        connect.invoke(party, Proxy.newProxyInstance(link.getClassLoader(), new Class<?>[] {link}, this::answer));
        Class<?> inform = Class.forName(System.getProperty("inform", "geniusweb.inform.Inform"));
        Method read = mapper.getClass().getMethod("readValue", byte[].class, Class.class);
        DataInputStream in = new DataInputStream(System.in);
        try {
            while (true) {
                int size = Integer.reverseBytes(in.readInt());
                if (size <= 0 || size > MOST_BYTES) throw new IllegalStateException("a message of " + size + " bytes");
                byte[] block = new byte[size];
                in.readFully(block);
                Object message = read.invoke(mapper, block, inform);
                for (Object listener : listeners) call(listener, "notifyChange", message);
            }
        } catch (EOFException end) {
            call(party, "terminate");
        }
    }

    /** Answers what a party calls of its connection. */
    private Object answer(Object link, Method called, Object[] with) throws Exception {
        switch (called.getName()) {
            case "send": send(written(with[0])); return null;
            case "addListener": listeners.add(with[0]); return null;
            case "removeListener": listeners.remove(with[0]); return null;
            case "close": out.flush(); Runtime.getRuntime().halt(0); return null;
            case "equals": return link == with[0];
            case "hashCode": return System.identityHashCode(link);
            case "toString": return "the connection to the parties server";
            default: return null; // a reference, an address, an error: there is none
        }
    }

    private synchronized void send(byte[] message) throws Exception {
        int size = message.length;
        out.write(new byte[] {(byte) size, (byte) (size >> 8), (byte) (size >> 16), (byte) (size >> 24)});
        out.write(message);
        out.flush();
    }

    private byte[] written(Object value) throws Exception {
        return (byte[]) call(mapper, "writeValueAsBytes", value);
    }

    private static Object made(String name) throws Exception {
        return Class.forName(name).getDeclaredConstructor().newInstance();
    }

    private static Object call(Object object, String name, Object... with) throws Exception {
        return method(object, name, with.length).invoke(object, with);
    }

    private static Method method(Object object, String name, int count) throws NoSuchMethodException {
        for (Method method : object.getClass().getMethods())
            if (method.getName().equals(name) && method.getParameterCount() == count && !method.isBridge()) {
                method.setAccessible(true); // its class may be a private one
                return method;
            }
        throw new NoSuchMethodException(object.getClass().getName() + "." + name);
    }

    private static void fail(Throwable failure) {
        Throwable cause = failure;
        while (cause instanceof InvocationTargetException && cause.getCause() != null) cause = cause.getCause();
        cause.printStackTrace();
        Runtime.getRuntime().halt(1);
    }
}
