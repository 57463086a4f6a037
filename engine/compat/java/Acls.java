import java.util.List;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Rules about who may do what. Brokers of this suite allow everybody what no rule is about. */
final class Acls {
    private Acls() {}

    /** A rule that denies, made, listed and removed; a producer and a consumer are denied and allowed again while they are connected. */
    static void acls() throws Exception {
        String topic = Compat.topic("acls", 1);
        var rule = new AclBinding(new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL),
            new AccessControlEntry("User:ANONYMOUS", "*", AclOperation.READ, AclPermissionType.DENY));
        try (Admin admin = Compat.admin(); var producer = Compat.producer("enable.idempotence", "true"); var consumer = Compat.consumer()) {
            var record = new ProducerRecord<byte[], byte[]>(topic, 0, null, new byte[] {1});
            producer.send(record).get();
            var partition = new org.apache.kafka.common.TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            Compat.eventually(() -> Compat.expect(!consumer.poll(java.time.Duration.ofMillis(500)).isEmpty(), "nothing is consumed without a rule"));
            admin.createAcls(List.of(rule)).all().get();
            Compat.eventually(() -> Compat.fails(TopicAuthorizationException.class, "produce with a rule", producer.send(record)));
            Compat.eventually(() -> {
                try {
                    consumer.poll(java.time.Duration.ofMillis(500));
                } catch (TopicAuthorizationException e) {
                    Compat.expect(e.unauthorizedTopics().contains(topic), "denied is %s", e.unauthorizedTopics());
                    return;
                }
                throw new AssertionError("records are consumed although a rule denies it");
            });
            var found = admin.describeAcls(rule.toFilter()).values().get();
            Compat.expect(List.of(rule).equals(List.copyOf(found)), "described is %s", found);
            var gone = admin.deleteAcls(List.of(rule.toFilter())).all().get();
            Compat.expect(List.of(rule).equals(List.copyOf(gone)), "deleted is %s", gone);
            Compat.eventually(() -> producer.send(record).get());
            Compat.eventually(() -> Compat.expect(!consumer.poll(java.time.Duration.ofMillis(500)).isEmpty(), "nothing is consumed after the rule"));
        }
    }
}
