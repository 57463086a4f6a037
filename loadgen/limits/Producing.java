import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Sends records of one size as fast as it can, and says what its process spent for them once it was warm. */
public class Producing {
    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("key.serializer", ByteArraySerializer.class.getName());
        settings.put("value.serializer", ByteArraySerializer.class.getName());
        settings.put("batch.size", "16384");
        settings.put("linger.ms", "5");
        settings.put("buffer.memory", "33554432");
        String topic = arguments[1];
        byte[] value = new byte[Integer.parseInt(arguments[2])];
        OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        AtomicReference<Exception> failed = new AtomicReference<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
            send(producer, topic, value, Long.parseLong(arguments[3]), failed);
            long cpu = system.getProcessCpuTime();
            long began = System.nanoTime();
            long records = send(producer, topic, value, Long.parseLong(arguments[4]), failed);
            long wall = System.nanoTime() - began;
            System.out.printf("records %d wall %d cpu %d%n", records, wall, system.getProcessCpuTime() - cpu);
        }
        if (failed.get() != null) {
            throw failed.get();
        }
    }

    static long send(KafkaProducer<byte[], byte[]> producer, String topic, byte[] value, long millis, AtomicReference<Exception> failed) {
        long records = 0;
        for (long end = System.nanoTime() + millis * 1_000_000; System.nanoTime() < end; records += 1000) {
            for (int i = 0; i < 1000; i++) {
                producer.send(new ProducerRecord<>(topic, value), (metadata, e) -> {
                    if (e != null) {
                        failed.set(e);
                    }
                });
            }
        }
        producer.flush();
        return records;
    }
}
