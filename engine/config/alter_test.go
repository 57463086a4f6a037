package config_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk/setting"
	"github.com/twmb/franz-go/pkg/kerr"
)

func broker(t testing.TB, lines ...string) *setting.Values {
	t.Helper()
	b, err := config.Parse("server.properties", strings.Join(lines, "\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.Values
}

// The answers of Apache Kafka 4.3.1 to the same requests, word by word.
func TestCheckTopicSaysWhatKafkaSays(t *testing.T) {
	plain := broker(t)
	for _, test := range []struct{ key, value, fail string }{
		{"retention.ms", "1000", ""},
		{"retention.ms", " 5 ", ""},
		{"retention.bytes", "-5", ""},
		{"preallocate", "TRUE", ""},
		{"cleanup.policy", "", ""},
		{"cleanup.policy", " compact , delete ", ""},
		{"internal.segment.bytes", "300", ""},
		{"compression.gzip.level", "-1", ""},
		{"leader.replication.throttled.replicas", "*", ""},
		{"leader.replication.throttled.replicas", "0:1,1:2", ""},
		{"retention.ms", "x", "Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"},
		{"nope.y", "1", "Unknown topic config name: nope.y"},
		{"message.timestamp.difference.max.ms", "5", "Unknown topic config name: message.timestamp.difference.max.ms"},
		{"log.retention.ms", "5", "Unknown topic config name: log.retention.ms"},
		{"cleanup.policy", "foo", "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"},
		{"cleanup.policy", "delete,foo", "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"},
		{"compression.type", "bzip", "Invalid value bzip for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
		{"preallocate", "maybe", "Invalid value maybe for configuration preallocate: Expected value to be either true or false"},
		{"min.cleanable.dirty.ratio", "1.5", "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"},
		{"min.cleanable.dirty.ratio", "a", "Invalid value a for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE"},
		{"segment.bytes", "99999999999", "Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT"},
		{"segment.bytes", "10", "Invalid value 10 for configuration segment.bytes: Value must be at least 1048576"},
		{"compression.gzip.level", "0", "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"},
		{"compression.zstd.level", "23", "Invalid value 23 for configuration compression.zstd.level: Value must be no more than 22"},
		{"leader.replication.throttled.replicas", "a:b", "Invalid value [a:b] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."},
		{"message.timestamp.type", "createtime", "Invalid value createtime for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime"},
		{"remote.storage.enable", "true", "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
		{"min.insync.replicas", "0", "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"},
		{"flush.messages", "0", "Invalid value 0 for configuration flush.messages: Value must be at least 1"},
	} {
		err := config.CheckTopic(plain, map[string]*string{test.key: &test.value})
		switch {
		case test.fail == "" && err != nil:
			t.Errorf("%s=%s: %v", test.key, test.value, err)
		case test.fail != "" && (err == nil || err.Error() != test.fail || !errors.Is(err, kerr.InvalidConfig)):
			t.Errorf("%s=%s: %v\nwant %s", test.key, test.value, err, test.fail)
		}
	}
	ten, five := "10", "5"
	err := config.CheckTopic(plain, map[string]*string{"min.compaction.lag.ms": &ten, "max.compaction.lag.ms": &five})
	if want := "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"; err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	err = config.CheckTopic(plain, map[string]*string{"retention.ms": nil})
	if want := "Null value not supported for topic configs: retention.ms"; err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func change(op config.Operation, name string, value ...string) config.Change {
	c := config.Change{Name: name, Op: op}
	if len(value) > 0 {
		c.Value = &value[0]
	}
	return c
}

func TestChangeTopic(t *testing.T) {
	plain := broker(t, "log.cleanup.policy=compact")
	for name, test := range map[string]struct {
		current map[string]string
		changes []config.Change
		want    string
		fail    string
	}{
		"set":                    {nil, []config.Change{change(config.Set, "retention.ms", "5")}, "map[retention.ms:5]", ""},
		"set one of two":         {map[string]string{"segment.ms": "9"}, []config.Change{change(config.Set, "retention.ms", "5")}, "map[retention.ms:5 segment.ms:9]", ""},
		"delete":                 {map[string]string{"segment.ms": "9"}, []config.Change{change(config.Delete, "segment.ms")}, "map[]", ""},
		"delete what is not":     {nil, []config.Change{change(config.Delete, "bogus")}, "map[]", ""},
		"append to the default":  {nil, []config.Change{change(config.Append, "cleanup.policy", "delete")}, "map[cleanup.policy:compact,delete]", ""},
		"append what is there":   {map[string]string{"cleanup.policy": "delete"}, []config.Change{change(config.Append, "cleanup.policy", "delete")}, "map[cleanup.policy:delete]", ""},
		"subtract":               {map[string]string{"cleanup.policy": "compact,delete"}, []config.Change{change(config.Subtract, "cleanup.policy", "compact")}, "map[cleanup.policy:delete]", ""},
		"subtract all":           {nil, []config.Change{change(config.Subtract, "cleanup.policy", "compact,delete")}, "map[cleanup.policy:]", ""},
		"append to a number":     {nil, []config.Change{change(config.Append, "retention.ms", "5")}, "", "Can't APPEND to key retention.ms because its type is not LIST."},
		"append to nothing":      {nil, []config.Change{change(config.Append, "bogus", "5")}, "", "Can't APPEND to key bogus because its type is not LIST."},
		"twice":                  {nil, []config.Change{change(config.Set, "retention.ms", "5"), change(config.Delete, "retention.ms")}, "", "Error due to duplicate config keys"},
		"null":                   {nil, []config.Change{change(config.Set, "retention.ms")}, "", "Null value not supported for : retention.ms"},
		"unknown":                {nil, []config.Change{change(config.Set, "bogus", "x")}, "", "Unknown topic config name: bogus"},
		"unknown operation":      {nil, []config.Change{change(9, "retention.ms", "x")}, "", "Unknown operation type 9"},
		"what was there is kept": {map[string]string{"retention.ms": "1"}, []config.Change{change(config.Set, "retention.ms", "x")}, "", "Invalid value x for configuration retention.ms: Not a number of type LONG"},
	} {
		before := fmt.Sprint(test.current)
		got, err := config.ChangeTopic(plain, test.current, test.changes)
		switch {
		case test.fail != "":
			if err == nil || err.Error() != test.fail {
				t.Errorf("%s: %v, want %s", name, err, test.fail)
			}
		case err != nil || fmt.Sprint(got) != test.want:
			t.Errorf("%s: %v %v, want %s", name, got, err, test.want)
		}
		if fmt.Sprint(test.current) != before {
			t.Errorf("%s: changed what it was given", name)
		}
	}
}

func TestChangeBroker(t *testing.T) {
	plain := broker(t)
	for _, test := range []struct {
		everywhere       bool
		key, value, fail string
	}{
		{false, "log.retention.ms", "5000", ""},
		{true, "log.retention.ms", "5000", ""},
		{false, "ssl.keystore.location", "/k", ""},
		{false, "log.retention.hours", "5", "Cannot update these configs dynamically: [log.retention.hours]"},
		{false, "log.dirs", "/x", "Cannot update these configs dynamically: [log.dirs]"},
		{false, "log.retention.ms", "x", "Invalid value x for configuration log.retention.ms: Not a number of type LONG"},
		{true, "ssl.keystore.location", "/k", "Cannot update these configs at default cluster level, broker id must be specified: [ssl.keystore.location]"},
		{false, "message.max.byte", "1", "Unknown broker config name: message.max.byte; did you mean message.max.bytes?"},
		{false, "bogus", "1", "Unknown broker config name: bogus"},
	} {
		_, err := config.ChangeBroker(plain, nil, test.everywhere, []config.Change{change(config.Set, test.key, test.value)})
		switch {
		case test.fail == "" && err != nil:
			t.Errorf("%s=%s: %v", test.key, test.value, err)
		case test.fail != "" && (err == nil || err.Error() != test.fail || !errors.Is(err, kerr.InvalidRequest)):
			t.Errorf("%s=%s: %v\nwant %s", test.key, test.value, err, test.fail)
		}
	}
	// Who is let in, and to what, is not for those who may alter settings.
	guards := broker(t, "authenticators=door,hatch", "authorizer.class.name=com.example.Rules", "plugins=doors")
	for key, by := range map[string]string{
		"plugin.door.config.url": "authenticators", "plugin.hatch.type": "authenticators", "plugin.com.example.Rules.config.prefix": "authorizer.class.name", "plugin.doors.config.url": "",
	} {
		_, err := config.ChangeBroker(guards, nil, true, []config.Change{change(config.Set, key, "x")})
		if by == "" && err != nil || by != "" && (!errors.Is(err, kerr.InvalidRequest) || !strings.Contains(err.Error(), key+" cannot be changed while the broker runs: "+by)) {
			t.Errorf("%s: %v", key, err)
		}
	}
	// What an older version took does not stand in the way of other changes.
	got, err := config.ChangeBroker(plain, map[string]string{"log.dirs": "/x"}, false, []config.Change{change(config.Set, "message.max.bytes", "9")})
	if err != nil || got["message.max.bytes"] != "9" || got["log.dirs"] != "/x" {
		t.Errorf("%v %v", got, err)
	}
}

// Kafka 4.3.1 with the same settings answers these synonyms.
func TestDescribeTopic(t *testing.T) {
	static := broker(t, "log.retention.hours=100", "log.roll.ms=5000000")
	dynamic := static.With(map[string]string{"log.retention.ms": "5000"}, map[string]string{"log.retention.ms": "6000"})
	topic := dynamic.Topic(map[string]string{"retention.ms": " 1000 ", "cleanup.policy": "compact,delete"})
	for name, want := range map[string]string{
		"retention.ms":            "1000 DYNAMIC_TOPIC_CONFIG LONG retention.ms=1000:1 log.retention.ms=5000:2 log.retention.ms=6000:3 log.retention.hours=100:4 log.retention.hours=168:5",
		"segment.ms":              "5000000 STATIC_BROKER_CONFIG LONG log.roll.ms=5000000:4 log.roll.hours=168:5",
		"cleanup.policy":          "compact,delete DYNAMIC_TOPIC_CONFIG LIST cleanup.policy=compact,delete:1 log.cleanup.policy=delete:5",
		"max.message.bytes":       "1048588 DEFAULT_CONFIG INT message.max.bytes=1048588:5",
		"compression.type":        "producer DEFAULT_CONFIG STRING compression.type=producer:5",
		"remote.log.copy.disable": "false DEFAULT_CONFIG BOOLEAN",
		"flush.ms":                "9223372036854775807 DEFAULT_CONFIG LONG",
		"flush.mode":              "commit DEFAULT_CONFIG STRING log.flush.mode=commit:5",
	} {
		entries := config.DescribeTopic(topic, []string{name, "nope"})
		if len(entries) != 1 {
			t.Errorf("%s: %d entries", name, len(entries))
			continue
		}
		if got := line(entries[0]); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
	all := config.DescribeTopic(topic, nil)
	if len(all) != 36 { // Kafka's 33, flush.mode and two of interceptors
		t.Errorf("%d settings of a topic", len(all))
	}
	if !slices.IsSortedFunc(all, func(a, b config.Entry) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted")
	}
	for _, e := range all {
		if e.ReadOnly || e.Doc == "" {
			t.Errorf("%+v", e)
		}
	}
	// Without log.retention.ms anywhere the hours count, in milliseconds.
	if got, want := line(config.DescribeTopic(static, []string{"retention.ms"})[0]),
		"360000000 DEFAULT_CONFIG LONG"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func line(e config.Entry) string {
	show := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	words := []string{show(e.Value), e.Source.String(), e.Type.String()}
	for _, s := range e.Synonyms {
		words = append(words, fmt.Sprintf("%s=%s:%d", s.Name, show(s.Value), s.Source))
	}
	return strings.Join(words, " ")
}

func TestDescribeBroker(t *testing.T) {
	v := broker(t, "log.retention.minutes=6000", "log.retention.hours=100", "log.roll.hours=50", "num.io.threads=4", "ssl.key.password=secret", "zookeeper.connect=z").With(
		map[string]string{"message.max.bytes": "7"}, map[string]string{"message.max.bytes": "8", "min.insync.replicas": "1", "log.roll.ms": "3000000"})
	for name, want := range map[string]string{
		"num.io.threads":                      "4 STATIC_BROKER_CONFIG INT num.io.threads=4:4 num.io.threads=8:5",
		"message.max.bytes":                   "7 DYNAMIC_BROKER_CONFIG INT message.max.bytes=7:2 message.max.bytes=8:3 message.max.bytes=1048588:5",
		"ssl.key.password":                    "- STATIC_BROKER_CONFIG PASSWORD ssl.key.password=-:4",
		"broker.rack":                         "- DEFAULT_CONFIG STRING",
		"log.retention.ms":                    "- DEFAULT_CONFIG LONG",
		"log.retention.minutes":               "6000 STATIC_BROKER_CONFIG INT log.retention.minutes=6000:4 log.retention.hours=100:4 log.retention.hours=168:5",
		"log.roll.ms":                         "3000000 DYNAMIC_DEFAULT_BROKER_CONFIG LONG log.roll.ms=3000000:3 log.roll.hours=50:4 log.roll.hours=168:5",
		"log.roll.hours":                      "50 STATIC_BROKER_CONFIG INT log.roll.hours=50:4 log.roll.hours=168:5",
		"log.dirs":                            "- DEFAULT_CONFIG LIST",
		"log.retention.hours":                 "100 STATIC_BROKER_CONFIG INT log.retention.hours=100:4 log.retention.hours=168:5",
		"log.cleaner.io.max.bytes.per.second": "1.7976931348623157E308 DEFAULT_CONFIG DOUBLE log.cleaner.io.max.bytes.per.second=1.7976931348623157E308:5",
	} {
		if got := line(config.DescribeBroker(v, []string{name})[0]); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
	for _, e := range config.DescribeBroker(v, []string{"num.io.threads", "message.max.bytes", "ssl.key.password"}) {
		if e.ReadOnly != (e.Name == "num.io.threads") || e.Sensitive != (e.Name == "ssl.key.password") {
			t.Errorf("%+v", e)
		}
	}
	var defaults []string
	for _, e := range config.DescribeDefaults(v, nil) {
		defaults = append(defaults, e.Name+" "+line(e))
	}
	want := []string{"log.roll.ms 3000000 DYNAMIC_DEFAULT_BROKER_CONFIG LONG log.roll.ms=3000000:3", "message.max.bytes 8 DYNAMIC_DEFAULT_BROKER_CONFIG INT message.max.bytes=8:3", "min.insync.replicas 1 DYNAMIC_DEFAULT_BROKER_CONFIG INT min.insync.replicas=1:3"}
	if !slices.Equal(defaults, want) {
		t.Errorf("%q", defaults)
	}
}

// What counts for a topic: topic, then broker, then all brokers, then file, then default.
func TestTopicValues(t *testing.T) {
	static := broker(t, "log.retention.minutes=10", "log.retention.hours=1", "log.segment.bytes=2000000", "log.flush.mode=os")
	if got := config.RetentionAge.Of(static); got != 10*time.Minute {
		t.Errorf("minutes before hours: %v", got)
	}
	dynamic := static.With(nil, map[string]string{"log.retention.ms": "7", "log.segment.bytes": "3000000"})
	if got := config.RetentionAge.Of(dynamic); got != 7*time.Millisecond {
		t.Errorf("dynamic default before file: %v", got)
	}
	one := dynamic.With(map[string]string{"log.segment.bytes": "4000000"}, map[string]string{"log.segment.bytes": "3000000"})
	if got := config.SegmentSize(one); got != 4000000 {
		t.Errorf("broker before all brokers: %v", got)
	}
	topic := one.Topic(map[string]string{"retention.ms": "-1", "segment.bytes": "5000000", "flush.messages": "1", "segment.ms": "rubbish", "gone": "1"})
	if got := config.RetentionAge.Of(topic); got != -1 {
		t.Errorf("no limit reads as %v", got)
	}
	if got := config.SegmentSize(topic); got != 5000000 {
		t.Errorf("topic before broker: %v", got)
	}
	if got := config.SegmentAge.Of(topic); got != 168*time.Hour {
		t.Errorf("rubbish is passed over: %v", got)
	}
	if config.CommitOnAck(one) || !config.CommitOnAck(topic) {
		t.Error("flush.messages=1 does not mean commit")
	}
	for _, c := range []struct {
		broker string
		topic  map[string]string
		want   time.Duration
	}{
		{"log.flush.interval.ms=5", nil, 0}, // answers wait for the disk
		{"log.flush.mode=os", nil, 0},
		{"log.flush.mode=interval", nil, time.Second},
		{"log.flush.mode=interval", map[string]string{"flush.ms": "50"}, 50 * time.Millisecond},
		{"log.flush.mode=interval", map[string]string{"flush.mode": "commit"}, 0},
		{"log.flush.mode=os", map[string]string{"flush.ms": "70"}, 70 * time.Millisecond},
		{"log.flush.mode=os", map[string]string{"flush.ms": "70", "flush.messages": "1"}, 0},
		{"log.flush.mode=os", map[string]string{"flush.ms": "0"}, 1}, // at once
		{"log.flush.interval.ms=30", map[string]string{"flush.mode": "interval"}, 30 * time.Millisecond},
		{"log.flush.scheduler.interval.ms=40", map[string]string{"flush.mode": "interval"}, 40 * time.Millisecond},
		{"log.flush.mode=interval", map[string]string{"flush.ms": "9223372036854775807"}, time.Second},
	} {
		if got := config.FlushEvery(broker(t, c.broker).Topic(c.topic)); got != c.want {
			t.Errorf("%s with %v is synced within %v, want %v", c.broker, c.topic, got, c.want)
		}
	}
	for _, c := range []struct {
		broker, messages string
		want             int64
	}{
		{"log.flush.mode=os", "9223372036854775807", 0},
		{"log.flush.mode=os", "100", 100},
		{"log.flush.mode=interval", "100", 100},
		{"log.flush.mode=interval", "1", 0}, // commit
		{"log.flush.mode=commit", "100", 0},
	} {
		if got := config.FlushRecords(broker(t, c.broker).Topic(map[string]string{"flush.messages": c.messages})); got != c.want {
			t.Errorf("%s with flush.messages=%s is synced after %d records, want %d", c.broker, c.messages, got, c.want)
		}
	}
	if config.CommitOnAck(broker(t).Topic(map[string]string{"flush.mode": "os"})) {
		t.Error("a topic cannot choose flush.mode=os")
	}
	if got := config.SegmentSize(one.Topic(map[string]string{"internal.segment.bytes": "300"})); got != 300 {
		t.Errorf("internal.segment.bytes: %v", got)
	}
	if got := config.TimestampBeforeMax.Of(topic); got != setting.Forever {
		t.Errorf("the greatest time: %v", got)
	}
	if got := config.Partitions.Of(topic); got != 1 {
		t.Errorf("a topic's values answer for the broker's settings, too: %v", got)
	}
	if one.Topic(nil) != one {
		t.Error("a topic without overrides has a snapshot of its own")
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	v := broker(t).Topic(map[string]string{"retention.ms": "1"})
	if n := testing.AllocsPerRun(100, func() {
		if config.RetentionAge.Of(v) != time.Millisecond || config.Compression.Of(v) != "producer" || len(config.CleanupPolicy.Of(v)) != 1 ||
			config.MaxMessageBytes.Of(v) == 0 || !config.CommitOnAck(v) || config.GzipLevel.Of(v) != -1 {
			t.Fail()
		}
	}); n != 0 {
		t.Fatalf("reading allocates %v times, want 0", n)
	}
}

func BenchmarkOf(b *testing.B) {
	v := config.Settings.Resolve()
	b.ReportAllocs()
	for b.Loop() {
		if config.MaxMessageBytes.Of(v) == 0 {
			b.Fatal("nothing")
		}
	}
}

func BenchmarkTopicValues(b *testing.B) {
	v := config.Settings.Resolve()
	overrides := map[string]string{"retention.ms": "1"}
	b.ReportAllocs()
	for b.Loop() {
		v.Topic(overrides)
	}
}

// What a client is allowed to set can be set again, and read by a broker that starts.
func FuzzChange(f *testing.F) {
	f.Add("retention.ms", "5", int8(0), "9")
	f.Add("cleanup.policy", "compact,delete", int8(2), "delete")
	f.Add("cleanup.policy", "compact", int8(3), "compact,delete")
	f.Add("leader.replication.throttled.replicas", "0:1,1:2", int8(0), "*")
	f.Add("interceptors", "mask", int8(2), "")
	f.Add("log.cleaner.threads", "2", int8(0), "1")
	plain := broker(f, "log.cleanup.policy=compact")
	fuzz.Run(f, func(t *testing.T, name, value string, op int8, before string) {
		changes := []config.Change{change(config.Operation(op), name, value)}
		next, err := config.ChangeTopic(plain, map[string]string{name: before}, changes)
		if err == nil {
			again := []config.Change{}
			for name, value := range next {
				again = append(again, change(config.Set, name, value))
			}
			if _, err := config.ChangeTopic(plain, nil, again); err != nil && next[name] != before {
				t.Fatalf("%q %d %q of %q makes %q, which is refused: %v", name, op, value, before, next, err)
			}
			if err := config.FitTopic(plain, next); err != nil {
				t.Fatalf("%q does not fit: %v", next, err)
			}
		}
		for _, everywhere := range []bool{true, false} {
			if _, err := config.ChangeBroker(plain, map[string]string{name: before}, everywhere, changes); err != nil && err.Error() == "" {
				t.Fatal("it is refused without a word")
			}
		}
	})
}
