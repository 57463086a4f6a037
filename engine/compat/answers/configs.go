package answers

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// configs is how settings are told and changed.
var configs = Set{Name: "configs", Cases: slices.Concat(describeConfigCases, incrementalCases, alterCases)}

const (
	ofTopic   = kmsg.ConfigResourceTypeTopic
	ofBroker  = kmsg.ConfigResourceTypeBroker
	ofLogger  = kmsg.ConfigResourceTypeBrokerLogger
	ofMetrics = kmsg.ConfigResourceTypeClientMetrics
	ofGroup   = kmsg.ConfigResourceTypeGroupConfig
)

// dynamicGroup is the source of a setting that a group was given.
const dynamicGroup kmsg.ConfigSource = 8

// described asks for the settings of one resource; names as in the request, null without any.
func described(kind kmsg.ConfigResourceType, name string, names ...string) *kmsg.DescribeConfigsRequest {
	q := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, names
	q.Resources = append(q.Resources, r)
	return q
}

var describeConfigCases = []Case{
	{Name: "describe no settings, and those of resources that are not there", Words: true, Ask: func(t *Talk) {
		t.AskAt(kmsg.NewPtrDescribeConfigsRequest(), 1, 4)
		for _, q := range []*kmsg.DescribeConfigsRequest{
			described(ofTopic, "nowhere"), described(ofTopic, ""), described(ofTopic, "a b"), described(ofBroker, "7"), described(ofBroker, "-1"), described(ofBroker, "x"),
			described(ofBroker, "01", "log.retention.ms"), described(ofBroker, "+1", "log.retention.ms"), described(ofGroup, ""), described(0, "x"), described(1, "x"), described(3, "x"), described(127, "x"), described(-1, "x"),
		} {
			t.AskAt(q, 1, 4)
		}
	}},
	{Name: "describe the settings of loggers", Words: true, Differs: "Broker loggers have no settings here: 32_describe_configs.go.", Ask: func(t *Talk) {
		t.Ask(4, described(ofLogger, "", "kafka"))
		t.Ask(4, described(ofLogger, "7", "kafka"))
		t.Ask(4, described(ofLogger, "1", "no.such.logger"))
		t.Ask(4, described(ofLogger, "x", "no.such.logger"))
	}},
	{Name: "describe the settings of client metrics", Words: true, Differs: "There are no client metrics here: 32_describe_configs.go.", Ask: func(t *Talk) {
		t.Ask(4, described(ofMetrics, ""))
		t.Ask(4, described(ofMetrics, "none"))
	}},
	{Name: "describe settings of a topic by name", Ask: func(t *Talk) {
		t.Topic("set", 1, "retention.ms=77", "cleanup.policy=compact")
		names := []string{"retention.ms", "cleanup.policy", "no.such", "RETENTION.MS", "log.retention.ms", "retention.ms", ""}
		q := described(ofTopic, "set", names...)
		t.AskAt(q, 1, 2, 3, 4)
		q.IncludeSynonyms = true
		t.AskAt(q, 1, 4)
		q = described(ofTopic, "set")
		q.Resources[0].ConfigNames = []string{}
		t.AskAt(q, 1, 4)
	}},
	{Name: "describe all settings of a topic", Ask: func(t *Talk) {
		t.Topic("set", 1, "retention.ms=77")
		q := described(ofTopic, "set")
		q.IncludeSynonyms = true
		t.AskAt(q, 4)
	}},
	{Name: "describe a resource twice in a request", Ask: func(t *Talk) {
		t.Topic("set", 1, "retention.ms=77")
		q := described(ofTopic, "set", "retention.ms")
		q.Resources = append(q.Resources, q.Resources[0], described(ofTopic, "nowhere").Resources[0])
		t.AskAt(q, 1, 4)
	}},
	{Name: "describe settings of a broker by name", Ask: func(t *Talk) {
		q := described(ofBroker, "1", "log.retention.ms", "log.retention.hours", "log.cleaner.threads", "message.max.bytes", "no.such",
			"log.segment.bytes", "compression.type", "auto.create.topics.enable", "num.partitions", "default.replication.factor",
			"ssl.keystore.password", "unclean.leader.election.enable", "offsets.topic.num.partitions", "transaction.state.log.num.partitions",
			"group.consumer.session.timeout.ms", "log.cleanup.policy", "log.message.timestamp.type")
		q.IncludeSynonyms = true
		t.AskAt(q, 1, 4)
	}},
	{Name: "describe settings of a broker that only a start reads", Differs: "docs/settings.md says which settings a running broker takes over; a node has its number and roles without being told.", Ask: func(t *Talk) {
		t.Ask(4, described(ofBroker, "1", "num.io.threads", "num.network.threads", "background.threads", "node.id", "process.roles", "max.connections", "max.connections.per.ip", "sasl.enabled.mechanisms"))
	}},
	{Name: "describe the settings of all brokers", Ask: func(t *Talk) {
		t.AskAt(described(ofBroker, ""), 1, 4)
		t.Ask(4, described(ofBroker, "", "log.retention.ms"))
	}},
	{Name: "describe the settings of a group", Ask: func(t *Talk) {
		q := described(ofGroup, "nobody", "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms", "no.such")
		t.AskAt(q, 1, 4)
		q.IncludeSynonyms = true
		t.AskAt(q, 4)
	}},
}

// changed asks for one resource to change by lines such as "a=b", "a" (delete), "a+=b" and "a-=b"; "a=" is the empty value.
func changed(kind kmsg.ConfigResourceType, name string, lines ...string) *kmsg.IncrementalAlterConfigsRequest {
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, line := range lines {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		key, value, given := strings.Cut(line, "=")
		switch {
		case strings.HasSuffix(key, "+"):
			c.Op = kmsg.IncrementalAlterConfigOpAppend
		case strings.HasSuffix(key, "-"):
			c.Op = kmsg.IncrementalAlterConfigOpSubtract
		case !given:
			c.Op = kmsg.IncrementalAlterConfigOpDelete
		}
		if c.Name = strings.TrimRight(key, "+-"); given {
			c.Value = &value
		}
		r.Configs = append(r.Configs, c)
	}
	q.Resources = append(q.Resources, r)
	return q
}

// tried asks for each change alone and only validates.
func tried(t *Talk, kind kmsg.ConfigResourceType, name string, lines ...string) {
	for _, line := range lines {
		q := changed(kind, name, strings.Split(line, ";")...)
		q.ValidateOnly = true
		t.Ask(1, q)
	}
}

// shows waits until a topic, group or broker has a setting at a value, and writes that down; an empty value: not any more.
func shows(t *Talk, kind kmsg.ConfigResourceType, resource, name, value string) {
	t.Until(4, described(kind, resource, name), func(a kmsg.Response) bool {
		r := a.(*kmsg.DescribeConfigsResponse).Resources //nolint:forcetypeassert // the answer to DescribeConfigs
		if len(r) != 1 || len(r[0].Configs) != 1 {
			return value == "" && len(r) == 1 && r[0].ErrorCode == 0
		}
		c := r[0].Configs[0]
		given := c.Source == kmsg.ConfigSourceDynamicTopicConfig || c.Source == kmsg.ConfigSourceDynamicBrokerConfig || c.Source == kmsg.ConfigSourceDynamicDefaultBrokerConfig || c.Source == dynamicGroup
		return given == (value != "") && (value == "" || c.Value != nil && *c.Value == value)
	})
}

var incrementalCases = []Case{
	{Name: "change settings of nothing", Words: true, Ask: func(t *Talk) {
		t.AskAt(kmsg.NewPtrIncrementalAlterConfigsRequest(), 0, 1)
		for _, q := range []*kmsg.IncrementalAlterConfigsRequest{
			changed(ofTopic, "nowhere", "retention.ms=1"), changed(ofTopic, "", "retention.ms=1"), changed(ofTopic, "a b", "retention.ms=1"), changed(ofTopic, "nowhere", "no.such=1"), changed(ofTopic, "nowhere"),
			changed(ofBroker, "7", "log.retention.ms=1"), changed(ofBroker, "x", "log.retention.ms=1"), changed(ofBroker, "-1", "log.retention.ms=1"), changed(ofGroup, "", "consumer.session.timeout.ms=50000"),
			changed(0, "x", "a=b"), changed(3, "x", "a=b"), changed(127, "x", "a=b"),
		} {
			t.Ask(1, q)
		}
	}},
	{Name: "change the settings of loggers", Words: true, Differs: "Broker loggers have no settings here: 32_describe_configs.go.", Ask: func(t *Talk) {
		tried(t, ofLogger, "1", "kafka.no.such=INFO", "root=SHOUT", "root+=INFO")
		tried(t, ofLogger, "", "root=INFO")
		tried(t, ofLogger, "7", "root=INFO")
	}},
	{Name: "change the settings of client metrics", Words: true, Differs: "There are no client metrics here: 32_describe_configs.go.", Ask: func(t *Talk) {
		tried(t, ofMetrics, "m", "interval.ms=5", "no.such=5", "metrics=a")
		tried(t, ofMetrics, "", "interval.ms=500")
	}},
	{Name: "change settings of a topic to what is not right", Words: true, Ask: func(t *Talk) {
		t.Topic("changes", 1, "retention.ms=77")
		tried(t, ofTopic, "changes", "no.such=1", "no.such", "retention.ms=never", "retention.ms=", "retention.ms=-2", "retention.ms+=1", "retention.ms-=1", "no.such+=1", "cleanup.policy=shred", "cleanup.policy+=shred", "cleanup.policy-=shred",
			"cleanup.policy-=delete", "cleanup.policy=", "retention.ms=1;retention.ms=2", "retention.ms=1;retention.ms", "min.compaction.lag.ms=6;max.compaction.lag.ms=5", "remote.storage.enable=true", "leader.replication.throttled.replicas=x",
			"leader.replication.throttled.replicas+=0:1", "leader.replication.throttled.replicas=*", "leader.replication.throttled.replicas-=0:1", "min.insync.replicas=0", "message.timestamp.type=x", "=x", "segment.bytes= 2097152 ", "cleanup.policy= compact , delete ", "cleanup.policy=compact,compact", "retention.ms", "flush.ms")
	}},
	{Name: "change settings of a topic without a value", Words: true, Ask: func(t *Talk) {
		t.Topic("changes", 1, "retention.ms=77")
		for _, op := range []kmsg.IncrementalAlterConfigOp{0, 1, 2, 3} {
			q := changed(ofTopic, "changes", "cleanup.policy")
			q.Resources[0].Configs[0].Op = op
			q.ValidateOnly = true
			t.Ask(1, q)
			value := "compact"
			q.Resources[0].Configs[0].Value = &value
			t.Ask(1, q)
		}
		q := changed(ofTopic, "changes", "retention.ms", "segment.ms")
		q.Resources[0].Configs[0].Op, q.Resources[0].Configs[1].Op = 0, 0
		t.Ask(1, q)
	}},
	{Name: "change settings in ways that there are not", Words: true, Differs: "Kafka stumbles over it and calls the error unknown.", Ask: func(t *Talk) {
		t.Topic("changes", 1, "retention.ms=77")
		for _, op := range []kmsg.IncrementalAlterConfigOp{4, -1} {
			q := changed(ofTopic, "changes", "cleanup.policy=compact")
			q.Resources[0].Configs[0].Op = op
			t.Ask(1, q)
		}
	}},
	{Name: "change a resource twice in a request", Words: true, Ask: func(t *Talk) {
		t.Topic("changes", 1, "retention.ms=77")
		q := changed(ofTopic, "changes", "retention.ms=78")
		q.Resources = append(q.Resources, changed(ofTopic, "changes", "segment.ms=78").Resources[0], changed(ofTopic, "changed-too", "segment.ms=78").Resources[0])
		t.AskAt(q, 0, 1)
		shows(t, ofTopic, "changes", "retention.ms", "77")
	}},
	{Name: "change settings of a topic", Words: true, Ask: func(t *Talk) {
		t.Topic("list", 1)
		t.Ask(0, changed(ofTopic, "list", "cleanup.policy+=compact", "retention.ms=5"))
		shows(t, ofTopic, "list", "cleanup.policy", "delete,compact")
		t.Ask(1, changed(ofTopic, "list", "cleanup.policy-=delete", "retention.ms"))
		shows(t, ofTopic, "list", "cleanup.policy", "compact")
		shows(t, ofTopic, "list", "retention.ms", "")
		t.Ask(1, changed(ofTopic, "list", "cleanup.policy"))
		shows(t, ofTopic, "list", "cleanup.policy", "")
		t.Ask(1, changed(ofTopic, "list", "min.compaction.lag.ms=6"))
		shows(t, ofTopic, "list", "min.compaction.lag.ms", "6")
		tried(t, ofTopic, "list", "max.compaction.lag.ms=5", "max.compaction.lag.ms=6", "min.compaction.lag.ms;max.compaction.lag.ms=5")
	}},
	{Name: "change settings of a broker to what is not right", Words: true, Ask: func(t *Talk) {
		for _, name := range []string{"1", ""} {
			tried(t, ofBroker, name, "node.id=2", "log.dirs=/x", "num.partitions=3", "log.retention.ms=never", "log.retention.ms=", "log.cleanup.policy=shred", "log.cleanup.policy+=compact", "log.retention.ms+=1",
				"log.retention.ms", "no.such", "log.segment.bytes=5", "message.max.bytes=-1", "compression.type=x", "min.insync.replicas=0", "auto.create.topics.enable=false", "log.retention.ms=5;log.retention.ms=6", "log.retention.hours=5")
		}
	}},
	{Name: "change settings of a broker that Kafka takes", Words: true, Differs: "A name that nobody knows and a value that means nothing are refused, as in the file.", Ask: func(t *Talk) {
		tried(t, ofBroker, "1", "no.such=1", "log.retention.ms=-2")
		tried(t, ofBroker, "", "no.such=1", "log.retention.ms=-2")
	}},
	{Name: "change settings of a broker that only a start reads", Words: true, Differs: "docs/settings.md says which settings a running broker takes over, and which it ignores.", Ask: func(t *Talk) {
		tried(t, ofBroker, "1", "log.cleaner.threads=0", "num.io.threads=0", "num.io.threads=1000", "max.connections.per.ip.overrides=x", "listeners=PLAINTEXT://:1")
	}},
	{Name: "change settings of a broker", Words: true, Ask: func(t *Talk) {
		t.Ask(1, changed(ofBroker, "", "log.retention.ms=50000", "log.cleanup.policy+=compact"))
		shows(t, ofBroker, "", "log.retention.ms", "50000")
		shows(t, ofBroker, "1", "log.retention.ms", "50000")
		t.Ask(1, changed(ofBroker, "1", "log.retention.ms=40000"))
		shows(t, ofBroker, "1", "log.retention.ms", "40000")
		t.Ask(4, described(ofBroker, ""))
		t.Topic("heir", 1)
		t.Ask(4, described(ofTopic, "heir", "retention.ms"))
		q := described(ofTopic, "heir", "cleanup.policy")
		q.IncludeSynonyms = true
		t.Ask(4, q)
		t.Ask(1, changed(ofBroker, "1", "log.retention.ms"))
		t.Ask(1, changed(ofBroker, "", "log.retention.ms", "log.cleanup.policy"))
		shows(t, ofBroker, "1", "log.retention.ms", "")
		t.Ask(4, described(ofBroker, ""))
	}},
	{Name: "describe settings that have older names, too", Ask: func(t *Talk) {
		set := []string{"log.retention.ms=2000000", "log.roll.ms=3000000", "log.roll.jitter.ms=1000", "log.flush.interval.ms=9000"}
		t.Topic("older", 1, "segment.ms=700000")
		t.Ask(1, changed(ofBroker, "", set...))
		shows(t, ofBroker, "1", "log.flush.interval.ms", "9000")
		q := described(ofBroker, "1", "log.retention.ms", "log.retention.minutes", "log.retention.hours", "log.roll.ms", "log.roll.hours",
			"log.roll.jitter.ms", "log.roll.jitter.hours", "log.flush.interval.ms", "log.flush.scheduler.interval.ms")
		q.IncludeSynonyms = true
		t.Ask(4, q)
		q = described(ofBroker, "")
		q.IncludeSynonyms = true
		t.Ask(4, q)
		q = described(ofTopic, "older", "retention.ms", "segment.ms", "segment.jitter.ms", "flush.ms")
		q.IncludeSynonyms = true
		t.Ask(4, q)
		t.Ask(1, changed(ofBroker, "", "log.retention.ms", "log.roll.ms", "log.roll.jitter.ms", "log.flush.interval.ms"))
		shows(t, ofBroker, "1", "log.flush.interval.ms", "")
	}},
	{Name: "change settings of a group", Words: true, Ask: func(t *Talk) {
		tried(t, ofGroup, "g", "consumer.session.timeout.ms=1", "consumer.session.timeout.ms=50000", "consumer.session.timeout.ms=999999999", "consumer.heartbeat.interval.ms=1", "consumer.heartbeat.interval.ms=x", "no.such=1", "no.such",
			"consumer.session.timeout.ms=45000;consumer.heartbeat.interval.ms=45000", "consumer.session.timeout.ms", "consumer.session.timeout.ms+=1", "consumer.session.timeout.ms=")
		t.Ask(1, changed(ofGroup, "g", "consumer.session.timeout.ms=50000"))
		shows(t, ofGroup, "g", "consumer.session.timeout.ms", "50000")
		t.Ask(1, changed(ofGroup, "g", "consumer.session.timeout.ms"))
		shows(t, ofGroup, "g", "consumer.session.timeout.ms", "")
	}},
}

// replaced asks for all settings of one resource to be those of lines "a=b"; "a" alone has no value.
func replaced(kind kmsg.ConfigResourceType, name string, lines ...string) *kmsg.AlterConfigsRequest {
	q := kmsg.NewPtrAlterConfigsRequest()
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, line := range lines {
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		key, value, given := strings.Cut(line, "=")
		if c.Name = key; given {
			c.Value = &value
		}
		r.Configs = append(r.Configs, c)
	}
	q.Resources = append(q.Resources, r)
	return q
}

var alterCases = []Case{
	{Name: "replace settings by what is not right", Words: true, Ask: func(t *Talk) {
		t.Topic("replaced", 1, "retention.ms=77")
		t.AskAt(kmsg.NewPtrAlterConfigsRequest(), 0, 2)
		for _, q := range []*kmsg.AlterConfigsRequest{
			replaced(ofTopic, "nowhere", "retention.ms=1"), replaced(ofTopic, "", "retention.ms=1"), replaced(ofTopic, "replaced", "retention.ms"), replaced(ofTopic, "replaced", "no.such=1"), replaced(ofTopic, "replaced", "retention.ms=1", "retention.ms=2"),
			replaced(ofTopic, "replaced", "retention.ms=never"), replaced(ofBroker, "7", "log.retention.ms=1"), replaced(ofBroker, "1", "node.id=4"), replaced(0, "x", "a=b"), replaced(ofGroup, "", "a=b"), replaced(ofTopic, "replaced", "min.compaction.lag.ms=6", "max.compaction.lag.ms=5"),
		} {
			q.ValidateOnly = true
			t.AskAt(q, 0, 2)
		}
	}},
	{Name: "replace settings", Words: true, Ask: func(t *Talk) {
		t.Topic("replaced", 1, "retention.ms=77")
		t.Ask(2, replaced(ofTopic, "replaced", "segment.ms=5"))
		shows(t, ofTopic, "replaced", "segment.ms", "5")
		shows(t, ofTopic, "replaced", "retention.ms", "")
		t.Ask(2, replaced(ofTopic, "replaced"))
		shows(t, ofTopic, "replaced", "segment.ms", "")
	}},
}
