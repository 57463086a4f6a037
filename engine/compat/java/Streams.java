import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * A Kafka Streams application with exactly_once_v2, a program of its own so that it can be killed. It counts words,
 * joins a stream with a table and a stream with a stream; all three go through repartition topics and keep what they
 * know in RocksDB, with changelogs.
 *
 * <pre>java Streams bootstrap prefix folder [setting=value ...]</pre>
 */
final class Streams {
    private Streams() {}

    public static void main(String[] arguments) throws Exception {
        String prefix = arguments[1];
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, prefix);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[2]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0); // every step of a count is written
        settings.put(StreamsConfig.REPARTITION_PURGE_INTERVAL_MS_CONFIG, 1000);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 6000); // how long a killed life is missed
        settings.put(StreamsConfig.consumerPrefix("heartbeat.interval.ms"), 500);
        settings.put(StreamsConfig.producerPrefix("transaction.timeout.ms"), 5000); // what one without its folder left open
        for (String more : Arrays.asList(arguments).subList(3, arguments.length)) {
            String[] parts = more.split("=", 2);
            settings.put(parts[0], parts[1]);
        }
        try (KafkaStreams streams = new KafkaStreams(topology(prefix), settings)) {
            CountDownLatch ended = new CountDownLatch(1);
            streams.setStateListener((now, before) -> {
                if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) {
                    ended.countDown();
                }
            });
            Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(15))));
            streams.start();
            ended.await();
            if (streams.state() == KafkaStreams.State.ERROR) {
                Runtime.getRuntime().halt(3);
            }
        }
    }

    private static Topology topology(String prefix) {
        StreamsBuilder builder = new StreamsBuilder();
        var words = builder.<String, String>stream(prefix + "-lines")
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.as("words"));
        words.windowedBy(TimeWindows.ofSizeWithNoGrace(Duration.ofHours(1))).count(Materialized.as("hourly"));
        words.count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts"))
            .toStream()
            .mapValues(count -> count.toString())
            .to(prefix + "-counts");

        var customers = builder.<String, String>table(prefix + "-customers", Materialized.as("customers"));
        builder.<String, String>stream(prefix + "-orders") // by order: "customer order"
            .map((order, text) -> KeyValue.pair(text.split(" ")[0], order))
            .join(customers, (order, name) -> order + " " + name, Joined.as("orders"))
            .to(prefix + "-enriched");

        var right = builder.<String, String>stream(prefix + "-right")
            .map((number, key) -> KeyValue.pair(key, number));
        builder.<String, String>stream(prefix + "-left")
            .join(right, (one, other) -> one + " " + other, JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofHours(1)), StreamJoined.<String, String, String>as("pairs").withName("pairs"))
            .to(prefix + "-pairs");
        return builder.build();
    }
}
