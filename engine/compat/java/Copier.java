import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;

/**
 * Copies one topic to another, with its offsets in the transaction, until it is killed: a program of its own, as Kafka's
 * system tests have one. Every fifth transaction is aborted on purpose. A transaction that fails is aborted, and what
 * cannot go on is made anew, as Kafka's documentation has it.
 *
 * <pre>java Copier bootstrap from to transactional.id</pre>
 */
final class Copier {
    private Copier() {}

    public static void main(String[] arguments) {
        int tries = 0;
        while (true) { // a life of a producer and a consumer
            try (var producer = Compat.producer("bootstrap.servers", arguments[0], "transactional.id", arguments[3], "transaction.timeout.ms", 10000);
                    var consumer = Compat.consumer("bootstrap.servers", arguments[0], "group.id", arguments[3], "isolation.level", "read_committed",
                        "max.poll.records", 20, "session.timeout.ms", 6000, "heartbeat.interval.ms", 500)) {
                producer.initTransactions();
                consumer.subscribe(List.of(arguments[1]));
                while (true) {
                    var polled = consumer.poll(Duration.ofMillis(200));
                    if (polled.isEmpty()) {
                        continue;
                    }
                    try {
                        producer.beginTransaction();
                        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                        for (var record : polled) {
                            producer.send(new ProducerRecord<>(arguments[2], record.partition(), record.key(), record.value()));
                            offsets.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
                        }
                        producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                        if (++tries % 5 != 0) {
                            producer.commitTransaction();
                            continue;
                        }
                        producer.flush();
                    } catch (ProducerFencedException e) {
                        throw e;
                    } catch (KafkaException e) {
                        System.err.println("aborts after " + e);
                    }
                    producer.abortTransaction();
                    var committed = consumer.committed(consumer.assignment());
                    for (TopicPartition p : consumer.assignment()) {
                        consumer.seek(p, committed.get(p) == null ? 0 : committed.get(p).offset());
                    }
                }
            } catch (KafkaException e) {
                System.err.println("begins anew after " + e);
            }
        }
    }
}
