import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.BrokerIdNotRegisteredException;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.InvalidUpdateVersionException;
import org.apache.kafka.common.errors.NoReassignmentInProgressException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The admin calls that are about the cluster itself, as they are answered on one node. */
final class Administer {
    private Administer() {}

    private static int node(Admin admin) throws Exception {
        return admin.describeCluster().nodes().get().iterator().next().id();
    }

    static void resources() throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, Compat.topic("resources", 1));
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, Compat.name("resources"));
        try (Admin admin = Compat.admin()) {
            ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, String.valueOf(node(admin)));
            var op = new AlterConfigOp(new ConfigEntry("consumer.session.timeout.ms", "50000"), AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(group, List.of(op))).all().get();
            Compat.eventually(() -> {
                var all = admin.listConfigResources().all().get();
                Compat.expect(all.containsAll(List.of(topic, group, broker)), "%s, %s or %s is not in %s", topic, group, broker, all);
            });
            var groups = admin.listConfigResources(Set.of(ConfigResource.Type.GROUP), new ListConfigResourcesOptions()).all().get();
            Compat.expect(groups.contains(group) && !groups.contains(topic) && !groups.contains(broker), "groups are %s", groups);
            var metrics = admin.listConfigResources(Set.of(ConfigResource.Type.CLIENT_METRICS), new ListConfigResourcesOptions()).all().get();
            Compat.expect(metrics.isEmpty(), "client metrics are %s", metrics);
        }
    }

    static void elections() throws Exception {
        var partition = new TopicPartition(Compat.topic("elections", 1), 0);
        var missing = new TopicPartition(partition.topic(), 7);
        try (Admin admin = Compat.admin()) {
            for (ElectionType type : ElectionType.values()) {
                var results = admin.electLeaders(type, Set.of(partition, missing)).partitions().get();
                Compat.expect(results.get(partition).orElse(null) instanceof ElectionNotNeededException, "%s election: %s", type, results);
                Compat.expect(results.get(missing).orElse(null) instanceof UnknownTopicOrPartitionException, "%s election: %s", type, results);
                var everywhere = admin.electLeaders(type, null).partitions().get();
                Compat.expect(everywhere.isEmpty(), "%s election everywhere: %s", type, everywhere);
            }
        }
    }

    private static Optional<NewPartitionReassignment> to(Integer... brokers) {
        return Optional.of(new NewPartitionReassignment(List.of(brokers)));
    }

    static void reassignments() throws Exception {
        var partition = new TopicPartition(Compat.topic("reassignments", 1), 0);
        var missing = new TopicPartition(partition.topic(), 7);
        try (Admin admin = Compat.admin()) {
            int node = node(admin);
            admin.alterPartitionReassignments(Map.of(partition, to(node))).all().get();
            Compat.fails(InvalidReplicaAssignmentException.class, "to a broker that is not there", admin.alterPartitionReassignments(Map.of(partition, to(node + 1000))).all());
            Compat.fails(UnknownTopicOrPartitionException.class, "of no partition", admin.alterPartitionReassignments(Map.of(missing, to(node))).all());
            Compat.fails(NoReassignmentInProgressException.class, "cancel", admin.alterPartitionReassignments(Map.of(partition, Optional.empty())).all());
            Compat.expect(admin.listPartitionReassignments().reassignments().get().isEmpty(), "something is under way");
        }
    }

    static void quorum() throws Exception {
        try (Admin admin = Compat.admin()) {
            var quorum = admin.describeMetadataQuorum().quorumInfo().get();
            int node = node(admin);
            Compat.expect(quorum.leaderId() == node && quorum.leaderEpoch() > 0 && quorum.highWatermark() > 0, "%s, and the only node is %d", quorum, node);
            Compat.expect(quorum.voters().size() == 1 && quorum.observers().isEmpty(), "%s", quorum);
            var voter = quorum.voters().get(0);
            Compat.expect(voter.replicaId() == node && voter.logEndOffset() >= quorum.highWatermark(), "%s", quorum);
            Compat.expect(voter.lastFetchTimestamp().isPresent() && voter.lastCaughtUpTimestamp().isPresent(), "%s", quorum);
            Compat.expect(quorum.nodes().get(node).endpoints().size() == 1, "nodes %s", quorum.nodes());
            Compat.topic("quorum", 1);
            var after = admin.describeMetadataQuorum().quorumInfo().get();
            Compat.expect(after.highWatermark() > quorum.highWatermark(), "a topic was made: %s, then %s", quorum, after);
            Compat.fails(BrokerIdNotRegisteredException.class, "unregister nobody", admin.unregisterBroker(node + 1000).all());
        }
    }

    /** Other checks run at the same time and need the features as they are: nothing is changed. */
    static void features() throws Exception {
        try (Admin admin = Compat.admin()) {
            var features = admin.describeFeatures().featureMetadata().get();
            Compat.expect(features.finalizedFeaturesEpoch().orElse(-1L) >= 0, "%s", features);
            for (String name : List.of("group.version", "transaction.version", "metadata.version")) {
                var level = features.finalizedFeatures().get(name);
                var range = features.supportedFeatures().get(name);
                Compat.expect(level != null && level.maxVersionLevel() == range.maxVersion(), "%s is at %s of %s", name, level, range);
            }
            admin.updateFeatures(change("transaction.version", 2, FeatureUpdate.UpgradeType.UPGRADE)).all().get();
            admin.updateFeatures(change("transaction.version", 0, FeatureUpdate.UpgradeType.SAFE_DOWNGRADE), new UpdateFeaturesOptions().validateOnly(true)).all().get();
            unchanged(admin, change("transaction.version", 77, FeatureUpdate.UpgradeType.UPGRADE));
            unchanged(admin, change("no.such.version", 1, FeatureUpdate.UpgradeType.UPGRADE));
        }
    }

    private static Map<String, FeatureUpdate> change(String name, int level, FeatureUpdate.UpgradeType type) {
        return Map.of(name, new FeatureUpdate((short) level, type));
    }

    private static void unchanged(Admin admin, Map<String, FeatureUpdate> change) throws Exception {
        try {
            admin.updateFeatures(change).all().get();
        } catch (ExecutionException e) {
            Compat.expect(e.getCause() instanceof InvalidUpdateVersionException, "%s: %s", change, e.getCause());
            return;
        }
        throw new AssertionError(change + " was done");
    }
}
