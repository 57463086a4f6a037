package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/engine/compat/answers"
	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/franz"
	"github.com/millrace/millrace/engine/compat/install"
	"github.com/millrace/millrace/engine/compat/kcat"
	"github.com/millrace/millrace/engine/compat/mortal"
	"github.com/millrace/millrace/engine/compat/newcomer"
	"github.com/millrace/millrace/engine/compat/report"
	"github.com/millrace/millrace/engine/compat/sarama"
	"github.com/millrace/millrace/engine/compat/tools"
)

// A feature is a row of the table: what a check is called, and what it shows in words.
type feature struct{ check, title string }

// features in the order in which they are shown.
var features = []feature{
	{"cluster", "cluster, brokers and controller described"},
	{"none", "produce uncompressed, read back byte for byte"},
	{"gzip", "produce with gzip, read back byte for byte"},
	{"snappy", "produce with snappy, read back byte for byte"},
	{"lz4", "produce with lz4, read back byte for byte"},
	{"zstd", "produce with zstd, read back byte for byte"},
	{"foreign", "read what another client wrote, every codec"},
	{"records", "null and empty keys and values, headers, timestamps"},
	{"large", "a record of 900,000 bytes; one over the limit is refused"},
	{"acks", "acks 0, 1 and all"},
	{"autocreate", "a topic made by producing to it"},
	{"drops", "idempotent producer while connections are cut: acked records exactly once, in order"},
	{"assign", "consume by assignment: from the start, an offset, the end"},
	{"reset", "an offset that does not exist leads to the start"},
	{"time", "seek by time"},
	{"pause", "pause and resume a partition"},
	{"group", "group of three: members join and leave, every record once"},
	{"cooperative", "the same with incremental rebalances"},
	{"static", "a static member returns without a rebalance; its double is fenced"},
	{"pattern", "subscribe by pattern; a topic made later is found"},
	{"consumer-group", "consumer group (KIP-848) of three: members join and leave, every record once"},
	{"consumer-range", "the same with the assignor range"},
	{"consumer-static", "a static member of a consumer group returns without a rebalance; its double stays out"},
	{"consumer-pattern", "a consumer group by a pattern that the broker matches"},
	{"consumer-migrate", "a group goes from classic to consumer and back while it reads"},
	{"commit", "commit with metadata and go on from it"},
	{"topics", "create, list, describe and delete topics; the errors; a new id"},
	{"partitions", "add partitions"},
	{"configs", "describe and alter settings"},
	{"delete-records", "delete records"},
	{"groups", "list, describe and delete groups"},
	{"offsets", "earliest and latest offsets"},
	{"max-time", "the offset of the greatest timestamp"},
	{"group-offsets", "set and, where the client can, delete a group's offsets"},
	{"log-dirs", "describe log folders"},
	{"acls", "ACLs: create, describe, delete; denied and allowed while connected"},
	{"resources", "list what has settings"},
	{"elections", "elect leaders: not needed, everywhere, of no partition"},
	{"reassignments", "reassign partitions: where they are, to nobody, cancel, list"},
	{"quorum", "describe the metadata quorum; unregister a broker that is not there"},
	{"features", "describe and update features"},
	{"epochs", "end offset of a leader epoch"},
	{"tool-topics", "topics: create, list, describe, alter, delete, and the errors"},
	{"tool-console", "console producer and consumer: keys, headers, columns, a group, an offset"},
	{"tool-codecs", "console producer with every codec"},
	{"tool-groups", "consumer groups: list, describe with and without members, states, delete"},
	{"tool-consumer-groups", "consumer groups (KIP-848): describe, verbose, list by type, settings of a group"},
	{"tool-list-groups", "groups: list of every kind"},
	{"tool-reset", "consumer groups: every way to reset offsets"},
	{"tool-configs", "configs: describe, alter, delete"},
	{"tool-acls", "acls: add for roles and operations, list by name, pattern and principal, remove"},
	{"tool-get-offsets", "get-offsets: latest, earliest, by time"},
	{"tool-producer-perf", "producer-perf-test"},
	{"tool-consumer-perf", "consumer-perf-test"},
	{"tool-verifiable", "verifiable producer and consumer"},
	{"tool-delete-records", "delete-records"},
	{"tool-log-dirs", "log-dirs"},
	{"tool-reassign", "leader-election, reassign-partitions"},
	{"tool-versions", "broker-api-versions, cluster id"},
	{"tool-features", "features: describe, upgrade, version-mapping, feature-dependencies"},
	{"tool-metadata-quorum", "metadata-quorum: status, replication"},
	{"tool-dump-log", "dump-log: batches, records, keys and values"},
	{"tool-e2e", "end-to-end latency"},
	{"start", "answers within 100 ms of its start, ends at SIGTERM"},
	{"idle", "under 40 MiB of memory while nobody uses it"},
	{"old", "a client pinned to the protocol of Kafka 2.1"},
	{"transactions", "transactions committed and aborted; read_committed and read_uncommitted"},
	{"transform", "consume, transform, produce; offsets in the transaction"},
	{"fencing", "a second producer with the transactional id fences the first"},
	{"timeout", "a transaction that nobody ends is aborted"},
	{"transform-kill", "consume, transform, produce while the program and the broker are killed: every record once, in order"},
	{"streams-example", "Kafka's example WordCountDemo as it is"},
	{"streams-count", "WordCount, exactly once (v2): the program is killed, and comes back without its state; every step of every count once"},
	{"streams-join", "the same: a stream joined with a table, by way of a repartition topic"},
	{"streams-pairs", "the same: two streams joined within a window"},
	{"streams-topics", "the repartition and changelog topics that Streams makes: their settings, and what it deletes"},
	{"streams-broker", "all three while the broker is killed"},
	{"streams-acls", "the same as a user of SCRAM who may do what it must, by ACLs, and proves who it is every 3 s; without them it ends"},
	{"connect-standalone", "standalone: file, topic, file; the worker is killed"},
	{"connect-distributed", "two workers, connectors made by REST; the worker that runs the source and the one that runs the sink are killed"},
	{"connect-exactly-once", "the same: the topic has every line once (exactly.once.source.support)"},
	{"connect-topics", "the topics of settings, offsets and status: compacted, and intact"},
	{"connect-broker", "two workers, and the broker is killed twice: the topic has every line once, the file none too few"},
	{"connect-acls", "two workers as a user of SCRAM who may do what they must; a sink that may not read its topic fails, and goes on when it may"},
	{"tool-transactions", "transactions: list, describe, describe-producers, find-hanging, abort"},
	{"answers-topics", "raw requests about topics: every answer, field by field, is Apache Kafka's"},
	{"answers-configs", "the same about settings"},
	{"answers-cluster", "the same about the cluster, its versions and features, log folders, and lists of groups and transactions"},
	{"answers-security", "the same about ACLs, SCRAM credentials and quotas"},
	{"answers-records", "the same about records: produced, fetched, their offsets and epochs"},
	{"answers-transactions", "the same about producers and transactions"},
	{"answers-groups", "the same about groups of both protocols and their offsets"},
	{"tool-transcript", "consumer-groups, configs and transactions print word for word what they print on Apache Kafka, but for ids and times"},
}

// A client is a column of the table.
type client struct {
	name   string // as the command line and the table call it
	title  string
	checks []string
	ours   bool // looks at Millrace itself: there is nothing to run on Kafka
	mortal bool // starts a broker of the target's kind itself, to kill it
	// prepare installs what it needs and answers how to run it.
	prepare func(ctx context.Context, d *driver) (command []string, environment []string, err error)
}

// toolChecks are what Kafka's tools and Millrace's of the same names have in common.
var toolChecks = []string{"tool-topics", "tool-console", "tool-codecs", "tool-groups", "tool-consumer-groups", "tool-reset", "tool-configs", "tool-acls",
	"tool-features", "tool-metadata-quorum", "tool-dump-log", "tool-get-offsets", "tool-producer-perf", "tool-consumer-perf"}

// clients in the order in which they are shown.
var clients = []client{
	{
		name: "java-tools", title: "Kafka's command-line tools 4.3.1",
		checks:  append(slices.Clone(toolChecks), "tool-list-groups", "tool-verifiable", "tool-delete-records", "tool-log-dirs", "tool-reassign", "tool-versions", "tool-e2e", "tool-transactions", "tool-transcript"),
		prepare: javaTools,
	},
	{
		name: "newcomer", title: "The first minute with Millrace", ours: true,
		checks:  []string{"start", "idle"},
		prepare: newcomerClient,
	},
	{
		name: "millrace-tools", title: "Millrace's tools under Kafka's names",
		checks:  append(slices.Clone(toolChecks), "tool-list-groups", "tool-delete-records", "tool-log-dirs", "tool-transactions"),
		prepare: links,
	},
	{
		name: "java", title: "Kafka's Java clients 4.3.1",
		checks: []string{"cluster", "none", "gzip", "snappy", "lz4", "zstd", "foreign", "records", "large", "acks", "autocreate", "drops",
			"assign", "reset", "time", "pause", "group", "cooperative", "static", "pattern", "commit",
			"consumer-group", "consumer-range", "consumer-static", "consumer-pattern", "consumer-migrate",
			"topics", "partitions", "configs", "delete-records", "groups", "offsets", "max-time", "group-offsets", "log-dirs", "acls",
			"resources", "elections", "reassignments", "quorum", "features",
			"transactions", "transform", "fencing", "timeout"},
		prepare: javaClient,
	},
	{
		name: "java-copier", title: "A program with Kafka's Java clients 4.3.1 that is killed", mortal: true,
		checks:  []string{"transform-kill"},
		prepare: javaProgram("java-copier"),
	},
	{
		name: "streams", title: "Kafka Streams 4.3.1", mortal: true,
		checks:  []string{"streams-example", "streams-count", "streams-join", "streams-pairs", "streams-topics", "streams-broker", "streams-acls"},
		prepare: javaProgram("streams"),
	},
	{
		name: "connect", title: "Kafka Connect 4.3.1", mortal: true,
		checks:  []string{"connect-standalone", "connect-distributed", "connect-exactly-once", "connect-topics", "connect-broker", "connect-acls"},
		prepare: javaProgram("connect"),
	},
	{
		name: "librdkafka", title: "librdkafka 2.16.0 (confluent-kafka 2.16.1, Python)",
		checks: []string{"cluster", "none", "gzip", "snappy", "lz4", "zstd", "foreign", "records", "large", "acks", "autocreate", "drops",
			"assign", "reset", "time", "pause", "group", "cooperative", "static", "pattern", "commit",
			"consumer-group", "consumer-range", "consumer-static", "consumer-pattern", "consumer-migrate",
			"topics", "partitions", "configs", "delete-records", "groups", "offsets", "max-time", "group-offsets", "acls",
			"transactions", "transform", "fencing"},
		prepare: python,
	},
	{
		name: "kcat", title: "kcat 1.7.1 (librdkafka 2.0.2)",
		checks:  []string{"cluster", "none", "gzip", "snappy", "lz4", "zstd", "foreign", "records", "drops", "assign", "time", "group", "acls"},
		prepare: withKcat,
	},
	{
		name: "franz-go", title: "franz-go 1.22.2 (Go)",
		checks: []string{"cluster", "none", "gzip", "snappy", "lz4", "zstd", "foreign", "records", "large", "acks", "autocreate", "drops",
			"assign", "reset", "time", "pause", "group", "cooperative", "static", "pattern", "commit",
			"consumer-group", "consumer-migrate",
			"topics", "partitions", "configs", "delete-records", "groups", "offsets", "max-time", "group-offsets", "log-dirs", "acls", "epochs",
			"transactions", "transform", "fencing", "timeout"},
		prepare: self("franz-go"),
	},
	{
		name: "sarama", title: "Sarama 1.61.1 (Go)",
		checks: []string{"cluster", "none", "gzip", "snappy", "lz4", "zstd", "foreign", "records", "large", "acks", "autocreate", "drops",
			"assign", "reset", "time", "pause", "group", "static", "commit",
			"topics", "partitions", "configs", "delete-records", "groups", "offsets", "group-offsets", "log-dirs", "acls", "old", "transactions"},
		prepare: self("sarama"),
	},
	{
		name: "kafkajs", title: "KafkaJS 2.2.4 (Node)",
		checks: []string{"cluster", "none", "gzip", "snappy", "lz4", "zstd", "foreign", "records", "large", "acks", "autocreate", "drops",
			"reset", "time", "pause", "group", "pattern", "commit",
			"topics", "partitions", "configs", "delete-records", "groups", "offsets", "group-offsets", "acls", "transactions", "transform"},
		prepare: node,
	},
	{
		name: "answers", title: "Raw requests", mortal: true,
		checks:  answers.Checks(),
		prepare: rawRequests,
	},
}

// suites are the checks that this program runs itself. An error is about what lies outside of the checks.
var suites = map[string]func(*report.Suite) error{
	"franz-go":       always(franz.Run),
	"kcat":           always(kcat.Run),
	"sarama":         always(sarama.Run),
	"java-tools":     always(tools.Java),
	"millrace-tools": always(tools.Links),
	"streams":        mortal.Streams,
	"java-copier":    mortal.Copier,
	"connect":        mortal.Connect,
	"newcomer":       always(newcomer.Run),
	"answers":        answers.Run,
}

// always makes a suite of one that has nothing to do outside of its checks.
func always(run func(*report.Suite)) func(*report.Suite) error {
	return func(s *report.Suite) error {
		run(s)
		return nil
	}
}

func runSelf(name string) error {
	run := suites[name]
	if run == nil {
		return fmt.Errorf("no client %s in this program", name)
	}
	s, err := report.FromEnvironment()
	if err != nil {
		return err
	}
	return run(s)
}

// self runs a client that is written in Go: this program again.
func self(name string) func(context.Context, *driver) ([]string, []string, error) {
	return func(context.Context, *driver) ([]string, []string, error) {
		program, err := os.Executable()
		return []string{program, "-self", name}, nil, err
	}
}

// sources is the folder of a client that is not written in Go.
func (d *driver) sources(language string) string {
	return filepath.Join(d.root, "engine", "compat", language)
}

func javaClient(ctx context.Context, d *driver) ([]string, []string, error) {
	java, err := install.Kafka(ctx, d.sources("java"))
	if err != nil {
		return nil, nil, err
	}
	classPath, err := install.Compile(ctx, java, d.sources("java"))
	if err != nil {
		return nil, nil, err
	}
	return []string{"java", "-Xmx512m", "-XX:+UseSerialGC", "-Dlog4j2.configurationFile=" + java.Logging, "-cp", classPath, "Compat"}, nil, nil
}

// javaProgram runs a client of this program that runs Java programs, and brokers of the target's kind.
func javaProgram(name string) func(context.Context, *driver) ([]string, []string, error) {
	return func(ctx context.Context, d *driver) ([]string, []string, error) {
		java, err := install.Kafka(ctx, d.sources("java"))
		if err != nil {
			return nil, nil, err
		}
		classPath, err := install.Compile(ctx, java, d.sources("java"))
		if err != nil {
			return nil, nil, err
		}
		command, _, err := self(name)(ctx, d)
		return command, []string{"COMPAT_CLASSES=" + classPath, "COMPAT_CLASSPATH=" + java.ClassPath, "COMPAT_LOGGING=" + java.Logging, "COMPAT_BINARY=" + d.binary}, err
	}
}

func javaTools(ctx context.Context, d *driver) ([]string, []string, error) {
	java, err := install.Kafka(ctx, d.sources("java"))
	if err != nil {
		return nil, nil, err
	}
	command, _, err := self("java-tools")(ctx, d)
	return command, []string{"COMPAT_CLASSPATH=" + java.ClassPath, "COMPAT_LOGGING=" + java.Logging, "COMPAT_JAVA=" + java.Dir}, err
}

// links runs the checks of Kafka's tools with ours, which must also work on Apache Kafka.
func links(ctx context.Context, d *driver) ([]string, []string, error) {
	return d.withBinary(ctx, "millrace-tools")
}

func newcomerClient(ctx context.Context, d *driver) ([]string, []string, error) {
	return d.withBinary(ctx, "newcomer")
}

// rawRequests runs a client of this program that starts brokers of the target's kind and needs no Java of its own.
func rawRequests(ctx context.Context, d *driver) ([]string, []string, error) {
	command, _, err := self("answers")(ctx, d)
	if err != nil || d.target == "millrace" {
		return command, []string{"COMPAT_BINARY=" + d.binary}, err
	}
	java, err := install.Kafka(ctx, d.sources("java"))
	if err != nil {
		return nil, nil, err
	}
	return command, []string{"COMPAT_CLASSPATH=" + java.ClassPath, "COMPAT_LOGGING=" + java.Logging, "COMPAT_BINARY=" + d.binary}, nil
}

// withBinary runs a client of this program that is told where Millrace is.
func (d *driver) withBinary(ctx context.Context, name string) ([]string, []string, error) {
	if d.binary == "" {
		var err error
		if d.binary, err = broker.Build(ctx, d.root, d.work); err != nil {
			return nil, nil, err
		}
	}
	command, _, err := self(name)(ctx, d)
	return command, []string{"COMPAT_BINARY=" + d.binary}, err
}

func python(ctx context.Context, d *driver) ([]string, []string, error) {
	interpreter, err := install.Python(ctx, d.sources("python"))
	return []string{interpreter, "-u", filepath.Join(d.sources("python"), "compat.py")}, nil, err
}

func withKcat(ctx context.Context, d *driver) ([]string, []string, error) {
	path, err := install.Kcat(ctx)
	if err != nil {
		return nil, nil, err
	}
	command, _, err := self("kcat")(ctx, d)
	return command, []string{"COMPAT_KCAT=" + path}, err
}

func node(ctx context.Context, d *driver) ([]string, []string, error) {
	modules, err := install.Node(ctx, d.sources("js"))
	return []string{"node", filepath.Join(d.sources("js"), "compat.js")}, []string{"NODE_PATH=" + modules}, err
}
