package config

import (
	"math"
	"time"

	"github.com/millrace/millrace/sdk/setting"
)

// Groups and offsets.
var (
	GroupInitialDelay = groups.Duration(setting.Duration{
		Name: "group.initial.rebalance.delay.ms", Default: 3000, Min: math.MinInt32, Int: true,
		Doc: "Time that an empty group waits for more members before its first rebalance. 0 suits tests.",
	})
	GroupMinSession = groups.Duration(setting.Duration{
		Name: "group.min.session.timeout.ms", Default: 6000, Min: math.MinInt32, Int: true,
		Doc: "Least session timeout that a member may ask for.",
	})
	GroupMaxSession = groups.Duration(setting.Duration{
		Name: "group.max.session.timeout.ms", Default: 1_800_000, Min: math.MinInt32, Int: true,
		Doc: "Greatest session timeout that a member may ask for.",
	})
	GroupMaxSize = groups.Int(setting.Int{
		Name: "group.max.size", Default: math.MaxInt32, Min: 1,
		Doc: "Most members of one group.",
	})
	OffsetsPartitions = groups.Int(setting.Int{
		Name: "offsets.topic.num.partitions", Default: 50, Min: 1,
		Doc: "Partitions of __consumer_offsets. It must not change once the topic exists.",
	})
	OffsetsReplicationFactor = groups.Int(setting.Int{
		Name: "offsets.topic.replication.factor", Default: 3, Min: 1, Short: true,
		Doc: "Copies of __consumer_offsets; as many as there are brokers when they are fewer.",
	})
	OffsetsSegmentBytes = groups.Int(setting.Int{
		Name: "offsets.topic.segment.bytes", Default: 100 << 20, Min: 1,
		Doc: "Size of a segment of __consumer_offsets.",
	})
	OffsetsRetention = groups.Duration(setting.Duration{
		Name: "offsets.retention.minutes", Unit: time.Minute, Default: 10080, Min: 1, Int: true,
		Doc: "Time that a group's offsets are kept after its last member left or, when it never had any, after the last commit.",
	})
	OffsetsRetentionCheck = groups.Duration(setting.Duration{
		Name: "offsets.retention.check.interval.ms", Default: 600_000, Min: 1,
		Doc: "Time between two looks for offsets to forget.",
	})
	OffsetMetadataMax = groups.Int(setting.Int{
		Name: "offset.metadata.max.bytes", Default: 4096, Min: math.MinInt32,
		Doc: "Longest text that may be committed with an offset.",
	})
	_ = groups.Table(setting.Ignored, noReader,
		setting.Row{Name: "offsets.commit.timeout.ms", Type: setting.TypeInt, Default: "5000", Min: 1, Doc: "Time limit to store a commit of offsets on all copies."},
		setting.Row{Name: "offsets.load.buffer.size", Type: setting.TypeInt, Default: "5242880", Min: 1, Doc: "Bytes read at once when offsets are loaded."},
		setting.Row{Name: "offsets.topic.compression.codec", Type: setting.TypeInt, Default: "0", Doc: "Codec of __consumer_offsets, by number."},
		setting.Row{Name: "group.coordinator.threads", Type: setting.TypeInt, Default: "4", Min: 1, Doc: "Threads of the group coordinator."},
		setting.Row{Name: "group.coordinator.background.threads", Type: setting.TypeInt, Default: "2", Min: 1, Doc: "Background threads of the group coordinator."},
		setting.Row{Name: "group.coordinator.append.linger.ms", Type: setting.TypeInt, Default: "-1", Min: -1, Doc: "Time that the coordinator gathers records before it writes them."},
		setting.Row{Name: "group.coordinator.cached.buffer.max.bytes", Type: setting.TypeInt, Default: "1048588", Min: 524288, Dynamic: setting.ClusterWide, Doc: "Largest write buffer that the coordinator keeps."},
	)
	_ = groups.Table(setting.Ignored, noShare,
		setting.Row{Name: "group.coordinator.rebalance.protocols", Type: setting.TypeList, Default: "classic,consumer,streams", Choices: []string{"consumer", "classic", "share", "streams"}, Doc: "Kinds of group that may be used."},
	)
	_ = groups.Table(setting.Ignored, "the topics are looked through whenever one comes or goes",
		setting.Row{Name: "group.consumer.regex.refresh.interval.ms", Type: setting.TypeInt, Default: "600000", Min: 10000, Doc: "Time between two matchings of subscribed patterns."},
	)
)

// Consumer groups whose members the coordinator itself assigns (KIP-848).
var (
	ConsumerAssignors = groups.List(setting.List{
		Name: "group.consumer.assignors", Default: []string{"uniform", "range"}, Choices: []string{"uniform", "range"},
		Doc: "Assignors that members of a consumer group may ask for, the default first.",
	})
	ConsumerMaxSize = groups.Int(setting.Int{
		Name: "group.consumer.max.size", Default: math.MaxInt32, Min: 1,
		Doc: "Most members of one consumer group.",
	})
	ConsumerMigration = groups.String(setting.String{
		Name: "group.consumer.migration.policy", Default: "bidirectional", Choices: []string{"DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"}, IgnoreCase: true,
		Doc: "Whether a classic group becomes a consumer group with its first member of the new protocol (upgrade), and a classic one again when the last such member leaves (downgrade).",
	})
	ConsumerSession = groups.Duration(setting.Duration{
		Name: "group.consumer.session.timeout.ms", Default: 45_000, Min: 1, Int: true,
		Doc: "Time without a heartbeat after which a member of a consumer group is taken for dead.",
	})
	ConsumerMinSession = groups.Duration(setting.Duration{
		Name: "group.consumer.min.session.timeout.ms", Default: 45_000, Min: 1, Int: true,
		Doc: "Lower limit of a consumer group's own session timeout.",
	})
	ConsumerMaxSession = groups.Duration(setting.Duration{
		Name: "group.consumer.max.session.timeout.ms", Default: 60_000, Min: 1, Int: true,
		Doc: "Upper limit of a consumer group's own session timeout.",
	})
	ConsumerHeartbeat = groups.Duration(setting.Duration{
		Name: "group.consumer.heartbeat.interval.ms", Default: 5000, Min: 1, Int: true,
		Doc: "Time between two heartbeats of a member of a consumer group.",
	})
	ConsumerMinHeartbeat = groups.Duration(setting.Duration{
		Name: "group.consumer.min.heartbeat.interval.ms", Default: 5000, Min: 1, Int: true,
		Doc: "Lower limit of a consumer group's own heartbeat interval.",
	})
	ConsumerMaxHeartbeat = groups.Duration(setting.Duration{
		Name: "group.consumer.max.heartbeat.interval.ms", Default: 15_000, Min: 1, Int: true,
		Doc: "Upper limit of a consumer group's own heartbeat interval.",
	})
	ConsumerAssignment = groups.Duration(setting.Duration{
		Name: "group.consumer.assignment.interval.ms", Default: 1000, Int: true, Dynamic: setting.ClusterWide,
		Doc: "Least time between two assignments of a consumer group: what changes meanwhile is served by one.",
	})
	ConsumerMinAssignment = groups.Duration(setting.Duration{
		Name: "group.consumer.min.assignment.interval.ms", Default: 0, Int: true,
		Doc: "Lower limit of a consumer group's own assignment interval.",
	})
	ConsumerMaxAssignment = groups.Duration(setting.Duration{
		Name: "group.consumer.max.assignment.interval.ms", Default: 15_000, Int: true,
		Doc: "Upper limit of a consumer group's own assignment interval.",
	})
)

// Producers and transactions.
var (
	ProducerExpiration = producers.Duration(setting.Duration{
		Name: "producer.id.expiration.ms", Default: 86_400_000, Min: 1, Int: true, Dynamic: setting.ClusterWide,
		Doc: "Time after its last batch at which a partition forgets a producer's sequence numbers.",
	})
	ProducerExpirationCheck = producers.Duration(setting.Duration{
		Name: "producer.id.expiration.check.interval.ms", Default: 600_000, Min: 1, Int: true, Internal: true,
		Doc: "Time between two looks for producers to forget.",
	})
	TransactionPartitions = producers.Int(setting.Int{
		Name: "transaction.state.log.num.partitions", Default: 50, Min: 1,
		Doc: "Partitions of __transaction_state. It must not change once the topic exists.",
	})
	TransactionReplicationFactor = producers.Int(setting.Int{
		Name: "transaction.state.log.replication.factor", Default: 3, Min: 1, Short: true,
		Doc: "Copies of __transaction_state; as many as there are brokers when they are fewer.",
	})
	TransactionMinISR = producers.Int(setting.Int{
		Name: "transaction.state.log.min.isr", Default: 2, Min: 1,
		Doc: "Copies of __transaction_state that must be in sync; all of them when there are fewer.",
	})
	TransactionSegmentBytes = producers.Int(setting.Int{
		Name: "transaction.state.log.segment.bytes", Default: 100 << 20, Min: 1,
		Doc: "Size of a segment of __transaction_state.",
	})
	TransactionMaxTimeout = producers.Duration(setting.Duration{
		Name: "transaction.max.timeout.ms", Default: 900_000, Min: 1, Int: true,
		Doc: "Longest time limit that a transaction may ask for.",
	})
	TransactionAbortCheck = producers.Duration(setting.Duration{
		Name: "transaction.abort.timed.out.transaction.cleanup.interval.ms", Default: 10_000, Min: 1, Int: true,
		Doc: "Time between two looks for transactions past their time limit.",
	})
	TransactionalIDCheck = producers.Duration(setting.Duration{
		Name: "transaction.remove.expired.transaction.cleanup.interval.ms", Default: 3_600_000, Min: 1, Int: true,
		Doc: "Time between two looks for transactional ids to forget.",
	})
	TransactionalIDExpiration = producers.Duration(setting.Duration{
		Name: "transactional.id.expiration.ms", Default: 604_800_000, Min: 1, Int: true,
		Doc: "Time after which a transactional id that is not used is forgotten.",
	})
	TransactionVerification = producers.Bool(setting.Bool{
		Name: "transaction.partition.verification.enable", Default: true, Dynamic: setting.ClusterWide,
		Doc: "Check that a partition is part of the transaction that writes to it.",
	})
	TransactionPatience = producers.Duration(setting.Duration{
		Name: "add.partitions.to.txn.retry.backoff.max.ms", Default: 100, Int: true,
		Doc: "Time that a batch waits for the end of its producer's transaction before.",
	})
	_ = producers.Table(setting.Ignored, noReader,
		setting.Row{Name: "transaction.state.log.load.buffer.size", Type: setting.TypeInt, Default: "5242880", Min: 1, Doc: "Bytes read at once when transactions are loaded."},
		setting.Row{Name: "add.partitions.to.txn.retry.backoff.ms", Type: setting.TypeInt, Default: "20", Min: 1, Doc: "Time between two tries to add partitions to a transaction. Here nobody tries: who waits is told."},
	)
	_ = producers.Table(setting.Ignored, noTwoPhase,
		setting.Row{Name: "transaction.two.phase.commit.enable", Type: setting.TypeBoolean, Default: "false", Doc: "Allow two-phase commit."},
	)
)
