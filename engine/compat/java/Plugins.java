import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.PolicyViolationException;

/**
 * What Kafka's Java clients see of a broker with interceptors, which no Kafka has: a program of its own.
 *
 * <pre>java Plugins check, with the environment that Compat reads</pre>
 */
final class Plugins {
    private Plugins() {}

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "codecs" -> codecs();
            case "refusals" -> refusals();
            case "transactions" -> transactions();
            case "fetch" -> fetch();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        System.exit(0);
    }

    /** Changes settings, given as name, value, name, value; null takes one away. A resource without a name is all brokers. */
    private static void alter(ConfigResource.Type type, String name, String... settings) throws Exception {
        List<AlterConfigOp> ops = new ArrayList<>();
        for (int i = 0; i < settings.length; i += 2) {
            var kind = settings[i + 1] == null ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET;
            ops.add(new AlterConfigOp(new ConfigEntry(settings[i], settings[i + 1]), kind));
        }
        try (var admin = Compat.admin()) {
            admin.incrementalAlterConfigs(Map.of(new ConfigResource(type, name), ops)).all().get();
        }
    }

    private static void brokers(String... settings) throws Exception {
        alter(ConfigResource.Type.BROKER, "", settings);
    }

    private static void topic(String name, String... settings) throws Exception {
        alter(ConfigResource.Type.TOPIC, name, settings);
    }

    private static ProducerRecord<byte[], byte[]> order(String topic, int i, boolean bad) {
        String value = bad ? "{\"card\":\"4111\",\"n\":" + i + "}" : "{\"id\":\"" + i + "\",\"card\":\"4111\",\"n\":" + i + "}";
        return new ProducerRecord<>(topic, 0, Compat.bytes("k" + i), Compat.bytes(value));
    }

    /** Idempotent producers through a chain that masks and buries, with every codec. */
    static void codecs() throws Exception {
        String dead = Compat.topic("dead", 1);
        brokers("plugins", "guard,hide",
            "plugin.guard.type", "json-schema", "plugin.guard.config.schema", "{\"type\":\"object\",\"required\":[\"id\"]}",
            "plugin.guard.on.error", "dlq", "plugin.guard.dlq.topic", dead,
            "plugin.hide.type", "mask", "plugin.hide.config.fields", "card");
        int buried = 0;
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = Compat.topic("codec-" + codec, 1);
            topic(topic, "interceptors.produce", "guard,hide");
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            try (var producer = Compat.producer("compression.type", codec, "linger.ms", 5, "batch.size", 4000, "enable.idempotence", true)) {
                for (int i = 0; i < 1000; i++) {
                    sent.add(producer.send(order(topic, i, i % 10 == 3)));
                }
            }
            for (int i = 0; i < sent.size(); i++) {
                long offset = sent.get(i).get().offset();
                Compat.expect(offset == i, "%s: record %d has offset %d", codec, i, offset);
            }
            int at = 0;
            for (ConsumerRecord<byte[], byte[]> record : Compat.readAll(Compat.BOOTSTRAP, topic, 1, 900)) {
                if (at % 10 == 3) {
                    at++;
                }
                String want = "{\"id\":\"" + at + "\",\"card\":\"***\",\"n\":" + at + "}";
                Compat.expect(record.offset() == at && Compat.text(record.value()).equals(want), "%s: offset %d has %s, want %s", codec, record.offset(), Compat.text(record.value()), want);
                at++;
            }
            buried += 100;
            for (ConsumerRecord<byte[], byte[]> record : Compat.readAll(Compat.BOOTSTRAP, dead, 1, buried).subList(buried - 100, buried)) {
                Map<String, String> headers = new HashMap<>();
                record.headers().forEach(h -> headers.put(h.key(), Compat.text(h.value())));
                Compat.expect("guard".equals(headers.get("millrace.plugin")) && topic.equals(headers.get("millrace.source.topic"))
                    && headers.get("millrace.error").contains("id") && headers.get("millrace.source.sequence") != null, "%s: headers of a dead letter: %s", codec, headers);
                Compat.expect(!Compat.text(record.value()).contains("\"id\""), "%s: buried %s", codec, Compat.text(record.value()));
            }
        }
    }

    private static Throwable failure(KafkaProducer<byte[], byte[]> producer, ProducerRecord<byte[], byte[]> record) throws Exception {
        try {
            producer.send(record).get();
        } catch (ExecutionException e) {
            return e.getCause();
        }
        throw new AssertionError("stored: " + Compat.text(record.value()));
    }

    /** A reason reaches the program; the producer goes on; settings that cannot be are refused with a reason. */
    static void refusals() throws Exception {
        brokers("plugins", "strict", "plugin.strict.type", "json-schema", "plugin.strict.config.schema", "{\"type\":\"object\",\"required\":[\"id\"]}");
        String topic = Compat.topic("refusals", 1);
        topic(topic, "interceptors.produce", "strict");
        try (var producer = Compat.producer("enable.idempotence", true)) {
            for (int i = 0; i < 5; i++) {
                producer.send(order(topic, 2 * i, false)).get();
                Throwable why = failure(producer, order(topic, 2 * i + 1, true));
                Compat.expect(why instanceof InvalidRecordException && why.getMessage().startsWith("plugin strict: record 0: the value does not match its schema"), "told %s", why);
            }
        }
        Compat.expect(Compat.readAll(Compat.BOOTSTRAP, topic, 1, 5).size() == 5, "good records");
        for (String[] wrong : new String[][] {
            {"plugins", "strict,nonsense"}, {"plugin.strict.on.error", "dlq"}, {"plugin.strict.config.schema", "{"}, {"plugins", ""},
        }) {
            try {
                brokers(wrong);
                throw new AssertionError("taken: " + Arrays.toString(wrong));
            } catch (ExecutionException e) {
                Compat.expect(e.getCause() instanceof InvalidConfigurationException && !e.getCause().getMessage().isEmpty(), "%s: %s", Arrays.toString(wrong), e.getCause());
            }
        }
        brokers("plugins", "strict,asked", "plugin.asked.type", "schema-id", "plugin.asked.registry", "http://127.0.0.1:1");
        topic(topic, "interceptors.produce", "asked");
        try (var producer = Compat.producer()) {
            Throwable why = failure(producer, new ProducerRecord<>(topic, 0, null, new byte[] {0, 0, 0, 0, 7}));
            Compat.expect(why instanceof PolicyViolationException && why.getMessage().contains("ask the registry about schema 7"), "a fault: %s", why);
        }
    }

    /** Transactions through a chain that refuses what is bad, and through one that takes none. */
    static void transactions() throws Exception {
        String dead = Compat.topic("tx-dead", 1);
        brokers("plugins", "once,strict", "plugin.once.type", "dedupe",
            "plugin.strict.type", "json-schema", "plugin.strict.config.schema", "{\"type\":\"object\",\"required\":[\"id\"]}",
            "plugin.strict.on.error", "dlq", "plugin.strict.dlq.topic", dead);
        String topic = Compat.topic("tx", 1);
        topic(topic, "interceptors.produce", "strict");
        String apart = Compat.topic("tx-apart", 1);
        topic(apart, "interceptors.produce", "once");
        int committed = 0;
        try (var producer = Compat.producer("transactional.id", Compat.name("tx"))) {
            producer.initTransactions();
            for (int i = 0; i < 20; i++) {
                producer.beginTransaction();
                for (int j = 0; j < 5; j++) {
                    producer.send(order(topic, 10 * i + j, false));
                }
                boolean refused = i % 4 == 2;
                if (refused) {
                    Throwable why = failure(producer, order(topic, 10 * i + 9, true));
                    Compat.expect(why instanceof InvalidRecordException, "a bad record in a transaction: %s", why);
                }
                if (refused || i % 4 == 3) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                    committed += 5;
                }
            }
            producer.beginTransaction();
            Throwable why = failure(producer, order(apart, 0, false));
            Compat.expect(why instanceof InvalidRecordException && why.getMessage().contains("transaction"), "keys of a transaction cannot be kept apart: %s", why);
            producer.abortTransaction();
        }
        try (var consumer = Compat.consumer("isolation.level", "read_committed")) {
            var partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            Map<String, Integer> seen = new HashMap<>();
            for (ConsumerRecord<byte[], byte[]> record : Compat.read(consumer, committed)) {
                seen.merge(Compat.text(record.key()), 1, Integer::sum);
            }
            Compat.expect(seen.size() == committed, "%d keys of %d records", seen.size(), committed);
        }
        try (var admin = Compat.admin()) {
            var end = admin.listOffsets(Map.of(new TopicPartition(dead, 0), org.apache.kafka.clients.admin.OffsetSpec.latest())).all().get();
            Compat.expect(end.get(new TopicPartition(dead, 0)).offset() == 0, "dead letters left a transaction");
        }
    }

    /** A chain on fetch; then one that fails: a consumer stays where it is until somebody has mended it. */
    static void fetch() throws Exception {
        brokers("plugins", "hide", "plugin.hide.type", "mask", "plugin.hide.config.regex", "\\d{4}");
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = Compat.topic("fetch-" + codec, 1);
            try (var producer = Compat.producer("compression.type", codec, "linger.ms", 5)) {
                for (int i = 0; i < 500; i++) {
                    producer.send(order(topic, i % 10, false));
                }
            }
            topic(topic, "interceptors.fetch", "hide");
            for (ConsumerRecord<byte[], byte[]> record : Compat.readAll(Compat.BOOTSTRAP, topic, 1, 500)) {
                Compat.expect(Compat.text(record.value()).contains("\"card\":\"***\""), "%s: read %s", codec, Compat.text(record.value()));
            }
            topic(topic, "interceptors.fetch", null);
            for (ConsumerRecord<byte[], byte[]> record : Compat.readAll(Compat.BOOTSTRAP, topic, 1, 500)) {
                Compat.expect(Compat.text(record.value()).contains("\"card\":\"4111\""), "%s, without: read %s", codec, Compat.text(record.value()));
            }
        }
        brokers("plugins", "hide,json", "plugin.json.type", "mask", "plugin.json.config.fields", "card");
        String topic = Compat.topic("fetch-fault", 1);
        Compat.numbered(topic, 0, 0, 10);
        try (var producer = Compat.producer()) {
            producer.send(new ProducerRecord<>(topic, 0, null, Compat.bytes("no JSON"))).get();
        }
        topic(topic, "interceptors.fetch", "json");
        try (var consumer = Compat.consumer()) {
            var partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seek(partition, 10);
            for (int i = 0; i < 10; i++) {
                Compat.expect(consumer.poll(java.time.Duration.ofMillis(200)).isEmpty(), "a record that could not be masked was read");
            }
            Compat.expect(consumer.position(partition) == 10, "the consumer went on to %d", consumer.position(partition));
            topic(topic, "interceptors.fetch", null);
            Compat.expect(Compat.text(Compat.read(consumer, 1).get(0).value()).equals("no JSON"), "after it was unloaded");
        }
    }
}
