import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.internals.RecordHeader;

/** What is produced comes back as it was. */
final class Records {
    private static final long FOREIGN_BASE = 1_700_000_000_000L;
    private static final long BASE = System.currentTimeMillis() - 3_600_000; // young enough for retention

    private Records() {}

    /** Text that compresses well, and noise that does not. */
    private static List<byte[]> mixed(int n) {
        Random random = new Random(7);
        List<byte[]> values = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            byte[] value = new byte[random.nextInt(4096)];
            random.nextBytes(value);
            if (i % 2 == 1) {
                value = Compat.bytes(("line " + i + " of a log that repeats itself\n").repeat(value.length / 32));
            }
            values.add(value);
        }
        return values;
    }

    static void codec(String codec) throws Exception {
        String topic = Compat.topic(codec, 1);
        List<byte[]> values = mixed(500);
        try (var producer = Compat.producer("compression.type", codec, "linger.ms", 20)) {
            for (int i = 0; i < values.size(); i++) {
                producer.send(new ProducerRecord<>(topic, 0, Compat.bytes("key-" + i % 17), values.get(i)));
            }
            producer.flush();
        }
        var got = Compat.readAll(Compat.BOOTSTRAP, topic, 1, values.size());
        for (int i = 0; i < values.size(); i++) {
            Compat.same(got.get(i).key(), Compat.bytes("key-" + i % 17), "key");
            Compat.same(got.get(i).value(), values.get(i), "value");
            Compat.expect(got.get(i).offset() == i, "record %d has offset %d", i, got.get(i).offset());
        }
    }

    static void foreign() {
        var got = Compat.readAll(Compat.BOOTSTRAP, System.getenv("COMPAT_FOREIGN"), 1, 500);
        for (int i = 0; i < got.size(); i++) {
            ConsumerRecord<byte[], byte[]> record = got.get(i);
            Compat.same(record.key(), i % 10 == 0 ? null : Compat.bytes("key-" + i % 7), "key");
            Compat.same(record.value(), Compat.bytes(String.format("record-%06d-", i) + "abcdefghij".repeat(i % 50)), "value");
            Compat.same(record.headers().lastHeader("number").value(), Compat.bytes(String.valueOf(i)), "header");
            Compat.expect(record.timestamp() == FOREIGN_BASE + i * 1000L, "record %d has timestamp %d", i, record.timestamp());
        }
    }

    static void records() throws Exception {
        String topic = Compat.topic("records", 1);
        var headers = List.of(new RecordHeader("a", Compat.bytes("1")), new RecordHeader("a", Compat.bytes("2")),
            new RecordHeader("null", (byte[]) null), new RecordHeader("empty", new byte[0]), new RecordHeader("", Compat.bytes("no name")));
        byte[][][] sent = {{null, Compat.bytes("no key")}, {Compat.bytes("no value"), null}, {{}, {}}, {null, null}};
        try (var producer = Compat.producer()) {
            for (byte[][] record : sent) {
                var result = new ProducerRecord<byte[], byte[]>(topic, 0, BASE + 123, record[0], record[1], new ArrayList<>(headers));
                producer.send(result).get();
            }
        }
        var got = Compat.readAll(Compat.BOOTSTRAP, topic, 1, sent.length);
        for (int i = 0; i < sent.length; i++) {
            Compat.same(got.get(i).key(), sent[i][0], "key");
            Compat.same(got.get(i).value(), sent[i][1], "value");
            Compat.expect(got.get(i).timestamp() == BASE + 123, "record %d has timestamp %d", i, got.get(i).timestamp());
            Compat.expect(List.of(got.get(i).headers().toArray()).equals(headers), "record %d has headers %s", i, got.get(i).headers());
        }
    }

    static void large() throws Exception {
        String topic = Compat.topic("large", 1);
        byte[] big = new byte[900_000];
        new Random(3).nextBytes(big);
        try (var producer = Compat.producer("max.request.size", 10_000_000, "batch.size", 16384)) {
            producer.send(new ProducerRecord<>(topic, big)).get();
            byte[] bigger = new byte[2_000_000];
            new Random(4).nextBytes(bigger);
            try {
                producer.send(new ProducerRecord<>(topic, bigger)).get();
                throw new AssertionError("2,000,000 bytes were accepted");
            } catch (ExecutionException e) {
                Compat.expect(e.getCause() instanceof RecordTooLargeException, "2,000,000 bytes: %s", e.getCause());
            }
        }
        Compat.same(Compat.readAll(Compat.BOOTSTRAP, topic, 1, 1).get(0).value(), big, "value");
    }

    static void acks() throws Exception {
        String topic = Compat.topic("acks", 1);
        int sent = 0;
        for (String acks : List.of("0", "1", "all")) {
            try (var producer = Compat.producer("acks", acks, "enable.idempotence", "false")) {
                for (int i = 0; i < 100; i++) {
                    var told = producer.send(new ProducerRecord<>(topic, 0, null, Compat.bytes(acks + i))).get();
                    Compat.expect(acks.equals("0") ? !told.hasOffset() : told.offset() == sent + i, "acks=%s: offset %s", acks, told);
                }
            }
            sent += 100;
            Compat.readAll(Compat.BOOTSTRAP, topic, 1, sent);
        }
    }

    static void autocreate() throws Exception {
        String topic = Compat.name("autocreate");
        Compat.numbered(topic, 0, 0, 10);
        Compat.readAll(Compat.BOOTSTRAP, topic, 1, 10);
    }

    /** Every acknowledged record is there once and in order, although answers were lost on the way. */
    static void drops() throws Exception {
        int partitions = 3;
        int each = 4000;
        String topic = Compat.topic(Compat.DROPS, "drops", partitions);
        Map<Integer, Set<Integer>> acked = new ConcurrentHashMap<>();
        List<Exception> failures = new ArrayList<>();
        String filling = " " + "x".repeat(240);
        try (var producer = Compat.producer("bootstrap.servers", Compat.DROPS, "batch.size", 8192, "linger.ms", 2,
            "reconnect.backoff.ms", 10, "reconnect.backoff.max.ms", 50, "retry.backoff.ms", 10, "retry.backoff.max.ms", 50, "request.timeout.ms", 5000, "delivery.timeout.ms", 60000,
            "socket.connection.setup.timeout.ms", 2000, "socket.connection.setup.timeout.max.ms", 2000)) {
            for (int i = 0; i < each; i++) {
                for (int p = 0; p < partitions; p++) {
                    int partition = p;
                    int number = i;
                    producer.send(new ProducerRecord<>(topic, p, null, Compat.bytes(i + filling)), (told, error) -> {
                        if (error == null) {
                            acked.computeIfAbsent(partition, none -> ConcurrentHashMap.newKeySet()).add(number);
                        } else {
                            synchronized (failures) {
                                failures.add(error);
                            }
                        }
                    });
                }
            }
            producer.flush();
        }
        Compat.expect(failures.isEmpty(), "%d records failed, one with %s", failures.size(), failures.isEmpty() ? "" : failures.get(0));
        Map<Integer, Integer> next = new HashMap<>();
        Set<String> seen = new HashSet<>();
        for (var record : Compat.readAll(Compat.DROPS, topic, partitions, partitions * each)) {
            int number = Integer.parseInt(Compat.text(record.value()).split(" ")[0]);
            Compat.expect(seen.add(record.partition() + " " + number), "partition %d: record %d is there twice", record.partition(), number);
            int want = next.merge(record.partition(), 1, Integer::sum) - 1;
            Compat.expect(number == want, "partition %d: record %d where %d is due", record.partition(), number, want);
        }
        for (int p = 0; p < partitions; p++) {
            Compat.expect(acked.get(p).size() == each, "partition %d: %d of %d records were acknowledged", p, acked.get(p).size(), each);
        }
    }
}
