package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/sdk/setting"
)

// Consumers is what only consumers have.
var Consumers = Keys.Section("Consumer", "Settings of consumers.")

// ConsumersAndAdmin is what consumers and Admin have in common.
var ConsumersAndAdmin = Keys.Section("Consumer and Admin", "Settings that consumers and Admin have in common.")

// DefaultTimeout is how long calls may take that have no time limit of their own.
var DefaultTimeout = ConsumersAndAdmin.Duration(setting.Duration{
	Name: "default.api.timeout.ms", Default: 60_000, Int: true,
	Doc: "How long a call may take that asks brokers something, when its context says nothing shorter.",
})

// Settings of consumers that have to do with groups.
var (
	GroupID = Consumers.String(setting.String{
		Name: "group.id", Null: true,
		Doc: "The group that the consumer is a member of, or in whose name it commits. Subscribing needs one.",
	})
	GroupInstanceID = Consumers.String(setting.String{
		Name: "group.instance.id", Null: true,
		Doc: "Makes a static member: one that closes or dies and comes back within `session.timeout.ms` finds its partitions again, without a rebalance.",
	})
	GroupProtocol = Consumers.String(setting.String{
		Name: "group.protocol", Default: "classic", Choices: []string{"classic", "consumer"}, IgnoreCase: true,
		Doc: "Who deals out partitions: `classic` a member, by `partition.assignment.strategy`; `consumer` the broker (KIP-848), by `group.remote.assignor`.",
	})
	RemoteAssignor = Consumers.String(setting.String{
		Name: "group.remote.assignor", Default: "uniform", Choices: []string{"uniform", "range"}, Kafka: "null",
		Doc: "How the broker deals out partitions when `group.protocol` is `consumer`; refused with `classic`, as by Kafka's consumer.",
	})
	Strategy = Consumers.List(setting.List{
		Name: "partition.assignment.strategy", Default: []string{"range", "cooperative-sticky"},
		Allowed: "range, roundrobin, sticky, cooperative-sticky, names in sdk.Assignors, the names of Kafka's classes",
		Doc:     "How partitions are dealt out when `group.protocol` is `classic`: the first that all members have. Those of Kafka's defaults make an eager group. Refused with `consumer`, as by Kafka's consumer.",
	})
	SessionTimeout = Consumers.Duration(setting.Duration{
		Name: "session.timeout.ms", Default: 45_000, Int: true, Min: 1,
		Doc: "After how long without a heartbeat the broker takes a member of a classic group for dead. Groups of `consumer` have the broker's `group.consumer.session.timeout.ms`, and with them it is refused, as by Kafka's consumer.",
	})
	HeartbeatInterval = Consumers.Duration(setting.Duration{
		Name: "heartbeat.interval.ms", Default: 3_000, Int: true, Min: 1,
		Doc: "How often a member of a classic group says that it is alive. Groups of `consumer` have the broker's `group.consumer.heartbeat.interval.ms`, and with them it is refused, as by Kafka's consumer.",
	})
	MaxPollInterval = Consumers.Duration(setting.Duration{
		Name: "max.poll.interval.ms", Default: 300_000, Int: true, Min: 1,
		Doc: "How long may pass between two calls of Poll before the consumer leaves its group, so that others get its partitions. It is also how long the group waits for members in a rebalance.",
	})
	AutoCommit = Consumers.Bool(setting.Bool{
		Name: "enable.auto.commit", Default: true,
		Doc: "Whether Poll and Close commit by themselves what the calls of Poll before returned. Without a `group.id` they do not, and `true` is refused.",
	})
	AutoCommitInterval = Consumers.Duration(setting.Duration{
		Name: "auto.commit.interval.ms", Default: 5_000, Int: true,
		Doc: "How often that is done.",
	})
	AutoOffsetReset = Consumers.String(setting.String{
		Name: "auto.offset.reset", Default: "latest",
		Doc: "Where to begin when the group has committed nothing, or what it committed is gone: `earliest`, `latest`, `none` (an error from Poll), `by_duration:PT1H30M` (that long ago).",
	})
)

// Settings of consumers that have to do with records.
var (
	MaxPollRecords = Consumers.Int(setting.Int{
		Name: "max.poll.records", Default: 500, Min: 1,
		Doc: "How many records a call of Poll returns at most.",
	})
	FetchMinBytes = Consumers.Int(setting.Int{
		Name: "fetch.min.bytes", Default: 1,
		Doc: "How much there must be before a broker answers a fetch, if `fetch.max.wait.ms` has not passed.",
	})
	FetchMaxBytes = Consumers.Int(setting.Int{
		Name: "fetch.max.bytes", Default: 50 << 20,
		Doc: "How much a broker answers to a fetch at most. A batch that is larger comes all the same.",
	})
	FetchMaxWait = Consumers.Duration(setting.Duration{
		Name: "fetch.max.wait.ms", Default: 500, Int: true,
		Doc: "How long a broker waits for `fetch.min.bytes` at most.",
	})
	PartitionFetchBytes = Consumers.Int(setting.Int{
		Name: "max.partition.fetch.bytes", Default: 1 << 20,
		Doc: "How much of one partition a broker answers at most. A batch that is larger comes all the same.",
	})
	IsolationLevel = Consumers.String(setting.String{
		Name: "isolation.level", Default: "read_uncommitted", Choices: []string{"read_uncommitted", "read_committed"}, IgnoreCase: true,
		Doc: "Whether records of transactions are returned that were not committed, or were aborted.",
	})
	CheckCRCs = Consumers.Bool(setting.Bool{
		Name: "check.crcs", Default: true,
		Doc: "Whether the checksum of each batch is checked.",
	})
	AutoCreateTopics = Consumers.Bool(setting.Bool{
		Name: "allow.auto.create.topics", Default: true,
		Doc: "Whether topics that are subscribed to and do not exist are created, if the broker allows it.",
	})
	KeyDeserializer = Consumers.Class(setting.String{
		Name: "key.deserializer", Null: true,
		Doc: "What makes keys out of bytes, by name or by the name of Kafka's class. Unset: what the type says (`string`, `int64`, …).",
	})
	ValueDeserializer = Consumers.Class(setting.String{
		Name: "value.deserializer", Null: true,
		Doc: "What makes values out of bytes, as `key.deserializer` does keys.",
	})
	_ = Consumers.Bool(setting.Bool{
		Name: "exclude.internal.topics", Default: true, Effect: setting.Refused,
		Note: "a pattern never matches internal topics here; subscribe to them by name",
		Doc:  "Whether a pattern leaves internal topics out.",
	})
)

// Registry is what serializers and deserializers with a schema registry read: the names of
// Confluent's. A plugin's own settings go before.
var Registry = Keys.Section("Schema registry", "Settings of serializers and deserializers that use a schema registry.")

// registryKeys are what is passed on to serializers and deserializers.
var registryKeys = Registry.Table(setting.Honoured, "",
	setting.Row{Name: "schema.registry.url", Type: setting.TypeList, Null: true, Doc: "Where the registry is, as http://host:8081; several addresses are tried in turn. http://name:password@host works."},
	setting.Row{Name: "basic.auth.credentials.source", Type: setting.TypeString, Default: "URL", Choices: []string{"URL", "USER_INFO"}, Doc: "Where name and password for the registry are: in its address, or in basic.auth.user.info."},
	setting.Row{Name: "basic.auth.user.info", Type: setting.TypePassword, Null: true, Doc: "name:password"},
	setting.Row{Name: "schema.registry.basic.auth.user.info", Type: setting.TypePassword, Null: true, Doc: "The same, by its older name."},
	setting.Row{Name: "auto.register.schemas", Type: setting.TypeBoolean, Default: "true", Doc: "Whether serializers register schemas that the registry does not have."},
	setting.Row{Name: "use.latest.version", Type: setting.TypeBoolean, Default: "false", Doc: "Whether serializers write by the newest schema of the subject. It turns auto.register.schemas off."},
	setting.Row{Name: "latest.cache.ttl.sec", Type: setting.TypeInt, Default: "-1", Min: -1, Doc: "For how long the newest schema is taken for the newest; -1: for ever."},
	setting.Row{Name: "key.subject.name.strategy", Type: setting.TypeClass, Default: "TopicNameStrategy", Doc: "What the subject of keys is called: TopicNameStrategy, RecordNameStrategy or TopicRecordNameStrategy."},
	setting.Row{Name: "value.subject.name.strategy", Type: setting.TypeClass, Default: "TopicNameStrategy", Doc: "What the subject of values is called."},
	setting.Row{Name: "http.read.timeout.ms", Type: setting.TypeInt, Default: "60000", Doc: "How long an answer of the registry may take."},
)

// reset is auto.offset.reset.
type reset struct {
	name string
	ago  time.Duration // of by_duration
}

func parseReset(text string) (reset, error) {
	switch name, ago, _ := strings.Cut(strings.ToLower(strings.TrimSpace(text)), ":"); {
	case name == "by_duration":
		d, err := parseISODuration(ago)
		if err != nil {
			return reset{}, fmt.Errorf("%s=%s: %w", AutoOffsetReset.Name, text, err)
		}
		return reset{name, d}, nil
	case ago == "" && (name == "earliest" || name == "latest" || name == "none"):
		return reset{name: name}, nil
	default:
		return reset{}, fmt.Errorf("%s=%s: it is earliest, latest, none or by_duration:PT1H30M", AutoOffsetReset.Name, text)
	}
}

// units are those of a duration of ISO 8601, in their order, as Java's Duration.parse reads
// them: days before the T, the others after it.
var units = []struct {
	letter byte
	unit   time.Duration
	time   bool
}{{'d', 24 * time.Hour, false}, {'h', time.Hour, true}, {'m', time.Minute, true}, {'s', time.Second, true}}

// parseISODuration reads a duration such as P1DT2H30M or PT0.5S.
func parseISODuration(text string) (total time.Duration, err error) {
	wrong := fmt.Errorf("%q is not a duration such as P1DT2H30M", text)
	rest, ok := strings.CutPrefix(strings.ToLower(text), "p")
	days, clock, hasTime := strings.Cut(rest, "t")
	if !ok || days == "" && clock == "" || hasTime && clock == "" {
		return 0, wrong
	}
	for _, u := range units {
		part := &days
		if u.time {
			part = &clock
		}
		number, after, found := strings.Cut(*part, string(u.letter))
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || strings.Trim(number, "0123456789.") != "" || n > float64(setting.Forever/u.unit) || u.letter != 's' && strings.Contains(number, ".") {
			return 0, wrong
		}
		*part, total = after, total+time.Duration(n*float64(u.unit))
	}
	if days != "" || clock != "" || total < 0 {
		return 0, wrong
	}
	return total, nil
}
