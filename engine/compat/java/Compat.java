import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Drives a broker with Kafka's own Java clients and reports in the lines that package report of the driver declares.
 * The driver says in the environment where the broker is, how topics shall be called and which checks to run.
 */
final class Compat {
    /** One check: it returns, or throws what is wrong. */
    interface Check {
        void run() throws Exception;
    }

    static final String BOOTSTRAP = System.getenv("COMPAT_BOOTSTRAP");
    static final String DROPS = System.getenv("COMPAT_DROPS");
    private static final Pattern ONLY = Pattern.compile(System.getenv().getOrDefault("COMPAT_ONLY", ".*"));
    private static final PrintStream OUT = System.out;
    private static final ExecutorService RUNNER = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task);
        thread.setDaemon(true); // a check that hangs must not keep the process
        return thread;
    });

    private Compat() {}

    public static void main(String[] arguments) {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            check(codec, () -> Records.codec(codec));
        }
        check("foreign", Records::foreign);
        check("records", Records::records);
        check("large", Records::large);
        check("acks", Records::acks);
        check("autocreate", Records::autocreate);
        check("assign", Consume::assign);
        check("reset", Consume::reset);
        check("time", Consume::time);
        check("pause", Consume::pause);
        check("commit", Consume::commit);
        check("pattern", Consume::pattern);
        check("group", Groups::group);
        check("cooperative", Groups::cooperative);
        check("static", Groups::staticMember);
        check("consumer-group", Groups::consumerGroup);
        check("consumer-range", Groups::consumerRange);
        check("consumer-static", Groups::consumerStatic);
        check("consumer-pattern", Groups::consumerPattern);
        check("consumer-migrate", Groups::consumerMigrate);
        check("cluster", Manage::cluster);
        check("topics", Manage::topics);
        check("partitions", Manage::partitions);
        check("configs", Manage::configs);
        check("delete-records", Manage::deleteRecords);
        check("groups", Manage::groups);
        check("offsets", Manage::offsets);
        check("max-time", Manage::maxTime);
        check("group-offsets", Manage::groupOffsets);
        check("log-dirs", Manage::logDirs);
        check("acls", Acls::acls);
        check("resources", Administer::resources);
        check("elections", Administer::elections);
        check("reassignments", Administer::reassignments);
        check("quorum", Administer::quorum);
        check("features", Administer::features);
        check("drops", Records::drops);
        check("transactions", Transactions::transactions);
        check("transform", Transactions::transform);
        check("fencing", Transactions::fencing);
        check("timeout", Transactions::timeout);
        System.exit(0);
    }

    private static void check(String name, Check check) {
        if (!ONLY.matcher(name).matches()) {
            return;
        }
        print(name, "start", 0, "");
        long begin = System.nanoTime();
        AtomicReference<Thread> thread = new AtomicReference<>();
        Future<Void> running = RUNNER.submit((Callable<Void>) () -> {
            thread.set(Thread.currentThread());
            check.run();
            return null;
        });
        String wrong = null;
        try {
            running.get(65, TimeUnit.SECONDS);
        } catch (TimeoutException | InterruptedException e) {
            wrong = "no end within 65 s" + place(thread.get().getStackTrace());
            running.cancel(true);
        } catch (ExecutionException e) {
            wrong = reason(e.getCause());
        }
        print(name, wrong == null ? "pass" : "fail", (System.nanoTime() - begin) / 1e9, wrong == null ? "" : wrong);
    }

    private static String reason(Throwable e) {
        StringBuilder text = new StringBuilder(e.toString());
        for (Throwable cause = e.getCause(); cause != null; cause = cause.getCause()) {
            text.append(": ").append(cause);
        }
        return text + place(e.getStackTrace());
    }

    /** Where in the checks something happened. */
    private static String place(StackTraceElement[] stack) {
        for (StackTraceElement at : stack) {
            if (at.getFileName() != null && List.of("Records.java", "Consume.java", "Groups.java", "Manage.java", "Transactions.java").contains(at.getFileName())) {
                return " at " + at.getFileName() + ":" + at.getLineNumber();
            }
        }
        return "";
    }

    private static synchronized void print(String check, String result, double seconds, String detail) {
        OUT.printf("{\"check\":\"%s\",\"result\":\"%s\",\"seconds\":%.3f,\"detail\":\"%s\"}%n", check, result, seconds, escape(detail));
    }

    private static String escape(String text) {
        StringBuilder escaped = new StringBuilder();
        for (char c : text.toCharArray()) {
            escaped.append(c == '"' || c == '\\' ? "\\" + c : c < ' ' ? " " : String.valueOf(c));
        }
        return escaped.toString();
    }

    /** A topic or group of this run. */
    static String name(String what) {
        return System.getenv("COMPAT_PREFIX") + "-" + what;
    }

    static Admin admin() {
        return admin(BOOTSTRAP);
    }

    static Admin admin(String bootstrap) {
        return Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", 20000, "request.timeout.ms", 15000,
            "retry.backoff.ms", 50, "reconnect.backoff.ms", 20, "reconnect.backoff.max.ms", 100));
    }

    static String topic(String what, int partitions) throws Exception {
        return topic(BOOTSTRAP, what, partitions);
    }

    static String topic(String bootstrap, String what, int partitions) throws Exception {
        try (Admin admin = admin(bootstrap)) {
            admin.createTopics(List.of(new NewTopic(name(what), partitions, (short) 1))).all().get();
            led(admin, name(what), partitions);
        }
        return name(what);
    }

    /** Waits until every partition of a topic has a leader. */
    static void led(Admin admin, String topic, int partitions) throws Exception {
        eventually(() -> {
            var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            expect(described.partitions().size() == partitions, "%s has %d partitions, want %d", topic, described.partitions().size(), partitions);
            expect(described.partitions().stream().allMatch(p -> p.leader() != null), "%s has no leader", topic);
        });
    }

    /**
     * Asks until the answer is right, or for ten seconds. A cluster tells its brokers of a change after it acknowledged
     * it, so a question that follows at once may get the old answer.
     */
    static void eventually(Check ask) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (true) {
            try {
                ask.run();
                return;
            } catch (AssertionError | Exception e) {
                if (System.nanoTime() > deadline) {
                    throw e;
                }
                Thread.sleep(50);
            }
        }
    }

    /** A producer with more settings, given as name, value, name, value. */
    static KafkaProducer<byte[], byte[]> producer(Object... settings) {
        Map<String, Object> all = settings(settings);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(Object... settings) {
        Map<String, Object> all = settings(settings);
        all.putIfAbsent("auto.offset.reset", "earliest");
        all.putIfAbsent("enable.auto.commit", "false");
        all.putIfAbsent("fetch.max.wait.ms", 200);
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static Map<String, Object> settings(Object[] settings) {
        Map<String, Object> all = new HashMap<>();
        all.put("bootstrap.servers", BOOTSTRAP);
        for (int i = 0; i < settings.length; i += 2) {
            all.put((String) settings[i], settings[i + 1]);
        }
        return all;
    }

    /** Sends numbered records to one partition. */
    static void numbered(String topic, int partition, int first, int count) throws Exception {
        try (var producer = producer("linger.ms", 5)) {
            for (int i = first; i < first + count; i++) {
                producer.send(new ProducerRecord<>(topic, partition, null, bytes(String.valueOf(i))));
            }
            producer.flush();
        }
    }

    /** Polls until there are n records. */
    static List<ConsumerRecord<byte[], byte[]>> read(KafkaConsumer<byte[], byte[]> consumer, int n) {
        List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(40);
        while (got.size() < n) {
            consumer.poll(java.time.Duration.ofMillis(200)).forEach(got::add);
            expect(System.nanoTime() < deadline, "read %d of %d records", got.size(), n);
        }
        expect(got.size() == n, "read %d records, want %d", got.size(), n);
        return got;
    }

    /** Reads n records of a topic from its start by assignment. */
    static List<ConsumerRecord<byte[], byte[]>> readAll(String bootstrap, String topic, int partitions, int n) {
        try (var consumer = consumer("bootstrap.servers", bootstrap)) {
            List<TopicPartition> assigned = new ArrayList<>();
            for (int p = 0; p < partitions; p++) {
                assigned.add(new TopicPartition(topic, p));
            }
            consumer.assign(assigned);
            consumer.seekToBeginning(assigned);
            return read(consumer, n);
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return new String(bytes, java.nio.charset.StandardCharsets.UTF_8);
    }

    static void expect(boolean true_, String otherwise, Object... values) {
        if (!true_) {
            throw new AssertionError(String.format(otherwise, values));
        }
    }

    static void same(byte[] got, byte[] want, String what) {
        expect(Arrays.equals(got, want), "%s of %s bytes differs from the %s bytes sent", what,
            got == null ? "null" : got.length, want == null ? "null" : want.length);
    }

    /** Expects an admin call to fail with one class of error. */
    static void fails(Class<? extends Throwable> error, String doing, Future<?> call) throws Exception {
        try {
            call.get(30, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            expect(error.isInstance(e.getCause()), "%s: %s, want %s", doing, e.getCause(), error.getSimpleName());
            return;
        }
        throw new AssertionError(doing + ": no error, want " + error.getSimpleName());
    }
}
