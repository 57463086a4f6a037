import static org.apache.kafka.clients.admin.OffsetSpec.earliest;
import static org.apache.kafka.clients.admin.OffsetSpec.latest;
import static org.apache.kafka.clients.admin.OffsetSpec.maxTimestamp;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The admin calls. */
final class Manage {
    private Manage() {}

    static void cluster() throws Exception {
        try (Admin admin = Compat.admin()) {
            var cluster = admin.describeCluster();
            Compat.expect(!cluster.clusterId().get().isEmpty(), "no cluster id");
            Compat.expect(cluster.nodes().get().size() == 1, "nodes %s", cluster.nodes().get());
            Compat.expect(cluster.controller().get().id() == cluster.nodes().get().iterator().next().id(), "controller %s", cluster.controller().get());
            Compat.expect(admin.describeFeatures().featureMetadata().get() != null, "no features");
        }
    }

    static void topics() throws Exception {
        String name = Compat.name("topics");
        try (Admin admin = Compat.admin()) {
            NewTopic wanted = new NewTopic(name, 3, (short) -1).configs(Map.of("retention.ms", "3600000"));
            admin.createTopics(List.of(wanted), new CreateTopicsOptions().validateOnly(true)).all().get();
            var made = admin.createTopics(List.of(wanted));
            Compat.expect(made.numPartitions(name).get() == 3 && made.replicationFactor(name).get() == 1, "made with %d partitions", made.numPartitions(name).get());
            Compat.expect(made.config(name).get().get("retention.ms").value().equals("3600000"), "made with %s", made.config(name).get().get("retention.ms"));
            refused(admin, TopicExistsException.class, wanted);
            refused(admin, InvalidTopicException.class, new NewTopic("not/a/name", 1, (short) 1));
            refused(admin, InvalidPartitionsException.class, new NewTopic(Compat.name("zero"), 0, (short) 1));
            refused(admin, InvalidReplicationFactorException.class, new NewTopic(Compat.name("three"), 1, (short) 3));
            refused(admin, InvalidConfigurationException.class, new NewTopic(Compat.name("config"), 1, (short) 1).configs(Map.of("no.such", "1")));
            Compat.led(admin, name, 3);
            Compat.expect(admin.listTopics().names().get().contains(name), "not listed");
            var described = admin.describeTopics(List.of(name)).allTopicNames().get().get(name);
            Compat.expect(described.partitions().size() == 3 && described.topicId().equals(made.topicId(name).get()), "described %s", described);
            Compat.expect(described.partitions().get(0).leader() != null && described.partitions().get(0).isr().size() == 1, "described %s", described);
            admin.deleteTopics(List.of(name)).all().get();
            Compat.fails(UnknownTopicOrPartitionException.class, "delete again", admin.deleteTopics(List.of(name)).all());
            var again = admin.createTopics(List.of(wanted));
            Compat.expect(!again.topicId(name).get().equals(described.topicId()), "the new topic has the old one's id");
            admin.deleteTopics(org.apache.kafka.common.TopicCollection.ofTopicIds(List.of(again.topicId(name).get()))).all().get();
        }
    }

    private static void refused(Admin admin, Class<? extends Throwable> error, NewTopic topic) throws Exception {
        Compat.fails(error, "create " + topic.name(), admin.createTopics(List.of(topic)).all());
    }

    static void partitions() throws Exception {
        String topic = Compat.topic("partitions", 2);
        try (Admin admin = Compat.admin()) {
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            Compat.led(admin, topic, 5);
            Compat.fails(InvalidPartitionsException.class, "to fewer partitions", admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all());
        }
        Compat.numbered(topic, 4, 0, 10);
        Compat.readAll(Compat.BOOTSTRAP, topic, 5, 10);
    }

    static void configs() throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, Compat.topic("configs", 1));
        try (Admin admin = Compat.admin()) {
            value(admin, topic, "604800000", ConfigEntry.ConfigSource.DEFAULT_CONFIG);
            alter(admin, topic, "retention.ms", "1234567", AlterConfigOp.OpType.SET);
            value(admin, topic, "1234567", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
            try {
                alter(admin, topic, "retention.ms", "soon", AlterConfigOp.OpType.SET);
                throw new AssertionError("a value that is no number was taken");
            } catch (ExecutionException e) {
                Compat.expect(e.getCause() instanceof InvalidConfigurationException, "a value that is no number: %s", e.getCause());
            }
            alter(admin, topic, "retention.ms", "", AlterConfigOp.OpType.DELETE);
            value(admin, topic, "604800000", ConfigEntry.ConfigSource.DEFAULT_CONFIG);
            alter(admin, topic, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
            Compat.eventually(() -> {
                var policy = admin.describeConfigs(List.of(topic)).all().get().get(topic).get("cleanup.policy");
                Compat.expect(Set.of(policy.value().split(",")).equals(Set.of("delete", "compact")), "appended: %s", policy);
            });
            int node = admin.describeCluster().nodes().get().iterator().next().id();
            ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, String.valueOf(node));
            var settings = admin.describeConfigs(List.of(broker)).all().get().get(broker);
            Compat.expect(settings.get("log.dirs") != null && settings.get("num.partitions") != null, "the broker's settings: %s", settings);
        }
    }

    private static void alter(Admin admin, ConfigResource topic, String name, String value, AlterConfigOp.OpType op) throws Exception {
        admin.incrementalAlterConfigs(Map.of(topic, List.of(new AlterConfigOp(new ConfigEntry(name, value), op)))).all().get();
    }

    private static void value(Admin admin, ConfigResource topic, String value, ConfigEntry.ConfigSource source) throws Exception {
        Compat.eventually(() -> {
            ConfigEntry entry = admin.describeConfigs(List.of(topic)).all().get().get(topic).get("retention.ms");
            Compat.expect(entry.value().equals(value) && entry.source() == source, "retention.ms is %s, want %s from %s", entry, value, source);
        });
    }

    static void deleteRecords() throws Exception {
        String topic = Compat.topic("delete-records", 1);
        Compat.numbered(topic, 0, 0, 100);
        var partition = new TopicPartition(topic, 0);
        try (Admin admin = Compat.admin()) {
            var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(60))).lowWatermarks().get(partition).get();
            Compat.expect(deleted.lowWatermark() == 60, "low watermark %d, want 60", deleted.lowWatermark());
            Compat.expect(Compat.readAll(Compat.BOOTSTRAP, topic, 1, 40).get(0).offset() == 60, "the first record is not 60");
            Compat.fails(OffsetOutOfRangeException.class, "delete beyond the end", admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(500))).all());
        }
    }

    static void groups() throws Exception {
        Groups.Crowd crowd = new Groups.Crowd("groups", "partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
        crowd.write(0, 60);
        crowd.join("member");
        crowd.assigned(1);
        crowd.got(60);
        try (Admin admin = Compat.admin()) {
            Compat.expect(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(crowd.group)), "not listed");
            var described = admin.describeConsumerGroups(List.of(crowd.group)).all().get().get(crowd.group);
            Compat.expect(described.partitionAssignor().equals("range") && described.members().size() == 1, "described %s", described);
            Compat.expect(described.members().iterator().next().host().contains("127.0.0.1"), "described %s", described);
            Compat.fails(GroupNotEmptyException.class, "delete a group with a member", admin.deleteConsumerGroups(List.of(crowd.group)).all());
            crowd.end();
            admin.deleteConsumerGroups(List.of(crowd.group)).all().get();
            Compat.fails(GroupIdNotFoundException.class, "delete again", admin.deleteConsumerGroups(List.of(crowd.group)).all());
        }
    }

    private static long offset(Admin admin, TopicPartition partition, OffsetSpec which) throws Exception {
        return admin.listOffsets(Map.of(partition, which)).partitionResult(partition).get().offset();
    }

    static void offsets() throws Exception {
        var partition = new TopicPartition(Compat.topic("offsets", 1), 0);
        Compat.numbered(partition.topic(), 0, 0, 100);
        try (Admin admin = Compat.admin()) {
            Compat.expect(offset(admin, partition, earliest()) == 0, "earliest is %d", offset(admin, partition, earliest()));
            Compat.expect(offset(admin, partition, latest()) == 100, "latest is %d", offset(admin, partition, latest()));
        }
    }

    static void maxTime() throws Exception {
        var partition = new TopicPartition(Compat.topic("max-time", 1), 0);
        try (var producer = Compat.producer("linger.ms", 20); Admin admin = Compat.admin()) {
            Compat.expect(offset(admin, partition, maxTimestamp()) == -1, "in an empty partition: %d", offset(admin, partition, maxTimestamp()));
            long now = System.currentTimeMillis();
            for (long at : new long[] {now + 1000, now + 3000, now + 2000}) {
                producer.send(new ProducerRecord<>(partition.topic(), 0, at, null, Compat.bytes("x")));
            }
            producer.flush();
            Compat.expect(offset(admin, partition, maxTimestamp()) == 1, "greatest timestamp at %d, want 1", offset(admin, partition, maxTimestamp()));
        }
    }

    static void groupOffsets() throws Exception {
        String topic = Compat.topic("group-offsets", 2);
        String group = Compat.name("group-offsets");
        var first = new TopicPartition(topic, 0);
        var second = new TopicPartition(topic, 1);
        try (Admin admin = Compat.admin()) {
            admin.alterConsumerGroupOffsets(group, Map.of(first, new OffsetAndMetadata(10), second, new OffsetAndMetadata(11))).all().get();
            admin.deleteConsumerGroupOffsets(group, Set.of(first)).all().get();
            var left = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            Compat.expect(left.get(first) == null && left.get(second).offset() == 11, "offsets %s", left);
            Compat.fails(GroupIdNotFoundException.class, "delete an offset of a group that is not", admin.deleteConsumerGroupOffsets(Compat.name("nobody"), Set.of(first)).all());
        }
    }

    static void logDirs() throws Exception {
        String topic = Compat.topic("log-dirs", 1);
        Compat.numbered(topic, 0, 0, 100);
        try (Admin admin = Compat.admin()) {
            int node = admin.describeCluster().nodes().get().iterator().next().id();
            var dirs = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node);
            boolean found = dirs.values().stream().anyMatch(d -> d.replicaInfos().containsKey(new TopicPartition(topic, 0))
                && d.replicaInfos().get(new TopicPartition(topic, 0)).size() > 0 && d.totalBytes().getAsLong() > 0);
            Compat.expect(found, "partition not found, or of no size, in %s", dirs);
        }
    }
}
