import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;

/** What was committed is read, whole; what was aborted is not. */
final class Transactions {
    private Transactions() {}

    private static KafkaProducer<byte[], byte[]> producer(String id, Object... more) {
        List<Object> all = new ArrayList<>(List.of("transactional.id", Compat.name(id)));
        all.addAll(List.of(more));
        var producer = Compat.producer(all.toArray());
        producer.initTransactions();
        return producer;
    }

    private static List<String> read(String topic, int partitions, int n, String isolation) {
        try (var consumer = Compat.consumer("isolation.level", isolation)) {
            List<TopicPartition> all = new ArrayList<>();
            for (int p = 0; p < partitions; p++) {
                all.add(new TopicPartition(topic, p));
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            List<String> values = new ArrayList<>();
            for (ConsumerRecord<byte[], byte[]> record : Compat.read(consumer, n)) {
                values.add(new String(record.value()));
            }
            return values;
        }
    }

    static void transactions() throws Exception {
        String topic = Compat.topic("transactions", 2);
        try (var producer = producer("transactions")) {
            for (int i = 0; i < 10; i++) {
                producer.beginTransaction();
                for (int j = 0; j < 10; j++) {
                    producer.send(new ProducerRecord<>(topic, j % 2, null, Compat.bytes(i + "-" + j)));
                }
                if (i % 2 == 0) {
                    producer.commitTransaction();
                } else {
                    producer.flush();
                    producer.abortTransaction();
                }
            }
        }
        Compat.expect(read(topic, 2, 100, "read_uncommitted").size() == 100, "uncommitted");
        Set<String> committed = new HashSet<>(read(topic, 2, 50, "read_committed"));
        for (int i = 0; i < 10; i += 2) {
            for (int j = 0; j < 10; j++) {
                Compat.expect(committed.contains(i + "-" + j), "%d-%d is not there", i, j);
            }
        }
        try (var admin = Compat.admin()) {
            Compat.eventually(() -> {
                var described = admin.describeTransactions(List.of(Compat.name("transactions"))).description(Compat.name("transactions")).get();
                Compat.expect(described.state() == TransactionState.COMPLETE_ABORT, "state %s", described.state());
            });
            var listed = admin.listTransactions(new ListTransactionsOptions().filterStates(List.of(TransactionState.COMPLETE_ABORT))).all().get();
            Compat.expect(listed.stream().anyMatch(one -> one.transactionalId().equals(Compat.name("transactions"))), "not listed: %s", listed);
        }
    }

    /** Consume, transform, produce, with the offsets in the transaction; each second try is aborted. */
    static void transform() throws Exception {
        String from = Compat.topic("transform-in", 2);
        String to = Compat.topic("transform-out", 1);
        Compat.numbered(from, 0, 0, 100);
        Compat.numbered(from, 1, 100, 100);
        int tries = 0;
        try (var producer = producer("transform");
                var consumer = Compat.consumer("group.id", Compat.name("transform"), "isolation.level", "read_committed", "max.poll.records", 20)) {
            consumer.subscribe(List.of(from));
            int copied = 0;
            long deadline = System.nanoTime() + 40_000_000_000L;
            while (copied < 200) {
                Compat.expect(System.nanoTime() < deadline, "copied %d of 200", copied);
                var polled = consumer.poll(Duration.ofMillis(200));
                if (polled.isEmpty()) {
                    continue;
                }
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                for (var record : polled) {
                    producer.send(new ProducerRecord<>(to, 0, null, record.value()));
                    offsets.put(new TopicPartition(from, record.partition()), new OffsetAndMetadata(record.offset() + 1));
                }
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                if (tries++ % 2 == 0) {
                    producer.abortTransaction();
                    // Go back to what is committed, as a program does that starts again.
                    var committed = consumer.committed(consumer.assignment());
                    for (TopicPartition p : consumer.assignment()) {
                        consumer.seek(p, committed.get(p) == null ? 0 : committed.get(p).offset());
                    }
                } else {
                    producer.commitTransaction();
                    copied += polled.count();
                }
            }
        }
        Set<String> values = new HashSet<>(read(to, 1, 200, "read_committed"));
        Compat.expect(values.size() == 200, "%d of 200 values are there", values.size());
    }

    static void fencing() throws Exception {
        String topic = Compat.topic("fencing", 1);
        var zombie = producer("fencing");
        zombie.beginTransaction();
        zombie.send(new ProducerRecord<>(topic, 0, null, Compat.bytes("zombie"))).get();
        try (var next = producer("fencing")) {
            next.beginTransaction();
            next.send(new ProducerRecord<>(topic, 0, null, Compat.bytes("next"))).get();
            next.commitTransaction();
        }
        try {
            zombie.commitTransaction();
            throw new AssertionError("the first commits");
        } catch (ProducerFencedException | InvalidProducerEpochException expected) {
            // as it must be
        } finally {
            zombie.close(Duration.ZERO);
        }
        Compat.expect(read(topic, 1, 1, "read_committed").equals(List.of("next")), "the wrong record is committed");
    }

    static void timeout() throws Exception {
        String topic = Compat.topic("timeout", 1);
        var producer = producer("timeout", "transaction.timeout.ms", 1000);
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(topic, 0, null, Compat.bytes("late"))).get();
        Compat.numbered(topic, 0, 1, 1);
        Compat.expect(read(topic, 1, 1, "read_committed").equals(List.of("1")), "the wrong record is committed");
        try {
            producer.commitTransaction();
            throw new AssertionError("what has timed out is committed");
        } catch (KafkaException expected) {
            // as it must be
        } finally {
            producer.close(Duration.ZERO);
        }
    }
}
