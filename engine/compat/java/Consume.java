import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** Where a consumer begins and goes on. */
final class Consume {
    private Consume() {}

    static void assign() throws Exception {
        String topic = Compat.topic("assign", 3);
        for (int p = 0; p < 3; p++) {
            Compat.numbered(topic, p, 0, 100);
        }
        Compat.readAll(Compat.BOOTSTRAP, topic, 3, 300);
        try (var consumer = Compat.consumer()) {
            var second = new TopicPartition(topic, 1);
            consumer.assign(List.of(second));
            consumer.seek(second, 90);
            var got = Compat.read(consumer, 10);
            Compat.expect(got.get(0).offset() == 90 && Compat.text(got.get(9).value()).equals("99"), "from offset 90: began at %d", got.get(0).offset());
            var third = new TopicPartition(topic, 2);
            consumer.assign(List.of(third));
            consumer.seekToEnd(List.of(third));
            Compat.expect(consumer.position(third) == 100, "the end is %d, want 100", consumer.position(third));
            Compat.numbered(topic, 2, 100, 1);
            Compat.expect(Compat.read(consumer, 1).get(0).offset() == 100, "from the end: an older record came");
            Compat.expect(consumer.currentLag(third).getAsLong() == 0, "lag %s, want 0", consumer.currentLag(third));
        }
    }

    static void reset() throws Exception {
        String topic = Compat.topic("reset", 1);
        Compat.numbered(topic, 0, 0, 20);
        try (var consumer = Compat.consumer()) {
            var partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seek(partition, 5000);
            Compat.expect(Compat.read(consumer, 20).get(0).offset() == 0, "did not begin at the start");
        }
    }

    static void time() throws Exception {
        String topic = Compat.topic("time", 1);
        long base = System.currentTimeMillis() - 3_600_000;
        try (var producer = Compat.producer("linger.ms", 1000)) {
            for (int i = 0; i < 100; i++) {
                producer.send(new ProducerRecord<>(topic, 0, base + i * 1000L, null, Compat.bytes(String.valueOf(i))));
                if (i % 25 == 24) {
                    producer.flush();
                }
            }
        }
        var partition = new TopicPartition(topic, 0);
        try (var consumer = Compat.consumer()) {
            Map<Long, Long> wanted = new HashMap<>(Map.of(0L, 0L, 1L, 1L, 9_999L, 10L, 10_000L, 10L, 10_001L, 11L, 24_500L, 25L, 99_000L, 99L, -5000L, 0L));
            for (var want : wanted.entrySet()) {
                var found = consumer.offsetsForTimes(Map.of(partition, base + want.getKey())).get(partition);
                Compat.expect(found != null && found.offset() == want.getValue(), "at %+d ms: %s, want %d", want.getKey(), found, want.getValue());
                Compat.expect(found.timestamp() == base + found.offset() * 1000, "at %+d ms: %s", want.getKey(), found);
            }
            var none = consumer.offsetsForTimes(Map.of(partition, base + 99_001)).get(partition);
            Compat.expect(none == null, "after the last record: %s, want nothing", none);
            consumer.assign(List.of(partition));
            consumer.seek(partition, consumer.offsetsForTimes(Map.of(partition, base + 59_500)).get(partition).offset());
            Compat.expect(Compat.text(Compat.read(consumer, 40).get(0).value()).equals("60"), "did not begin with record 60");
        }
    }

    static void pause() throws Exception {
        String topic = Compat.topic("pause", 2);
        Compat.numbered(topic, 0, 0, 50);
        Compat.numbered(topic, 1, 0, 50);
        try (var consumer = Compat.consumer()) {
            var first = new TopicPartition(topic, 0);
            consumer.assign(List.of(first, new TopicPartition(topic, 1)));
            consumer.pause(List.of(first));
            for (var record : Compat.read(consumer, 50)) {
                Compat.expect(record.partition() == 1, "a record came from a paused partition");
            }
            Compat.expect(consumer.poll(Duration.ofMillis(400)).isEmpty(), "a record came from a paused partition");
            consumer.resume(List.of(first));
            Compat.read(consumer, 50);
        }
    }

    static void commit() throws Exception {
        String topic = Compat.topic("commit", 1);
        Compat.numbered(topic, 0, 0, 100);
        var partition = new TopicPartition(topic, 0);
        try (var consumer = Compat.consumer("group.id", Compat.name("commit"))) {
            consumer.assign(List.of(partition));
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(40, "forty, in words")));
            var committed = consumer.committed(java.util.Set.of(partition)).get(partition);
            Compat.expect(committed.offset() == 40 && committed.metadata().equals("forty, in words"), "committed %s", committed);
        }
        for (int first : new int[] {40, 100}) {
            try (var consumer = Compat.consumer("group.id", Compat.name("commit"))) {
                consumer.subscribe(List.of(topic));
                int count = first == 40 ? 60 : 30;
                if (first == 100) {
                    Compat.numbered(topic, 0, 100, count);
                }
                Compat.expect(Compat.text(Compat.read(consumer, count).get(0).value()).equals(String.valueOf(first)), "did not go on with record %d", first);
                consumer.commitSync();
            }
        }
    }

    static void pattern() throws Exception {
        String first = Compat.topic("pattern-1", 1);
        Compat.numbered(first, 0, 0, 10);
        try (var consumer = Compat.consumer("group.id", Compat.name("pattern"), "metadata.max.age.ms", 500)) {
            consumer.subscribe(Pattern.compile(Pattern.quote(Compat.name("pattern-")) + ".*"));
            Compat.read(consumer, 10);
            consumer.commitSync();
            String second = Compat.topic("pattern-2", 1);
            Compat.numbered(second, 0, 0, 10);
            Compat.expect(Compat.read(consumer, 10).get(0).topic().equals(second), "the new topic was not found");
        }
    }
}
