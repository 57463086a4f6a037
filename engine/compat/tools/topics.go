package tools

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

func (t *set) topics(ctx context.Context) error {
	topic := t.Name("topics")
	name := regexp.QuoteMeta(topic)
	topics := func(arguments ...string) said { return t.tool(ctx, "", "kafka-topics", arguments...) }
	partition := func(n int) string {
		return fmt.Sprintf(`\tTopic: %s\tPartition: %d\tLeader: \d+\tReplicas: \d+\tIsr: \d+\tElr: (N/A)?\tLastKnownElr: (N/A)?`, name, n)
	}
	head := func(partitions int) string {
		return fmt.Sprintf(`Topic: %s\tTopicId: [A-Za-z0-9_-]{22}\tPartitionCount: %d\tReplicationFactor: 1\tConfigs: .*retention.ms=3600000.*`, name, partitions)
	}
	return steps(
		func() error {
			return topics("--create", "--topic", topic, "--partitions", "2", "--replication-factor", "1", "--config", "retention.ms=3600000").
				prints("Created topic " + name + `\.`)
		},
		func() error {
			return topics("--create", "--topic", topic).fails("Error while executing topic command : Topic '" + topic + "' already exists.")
		},
		func() error { return topics("--create", "--topic", topic, "--if-not-exists").Err() },
		eventually(ctx, func() error {
			s := topics("--list")
			if !slices.Contains(s.lines(), topic) {
				return s.wrong("the topic is not listed")
			}
			return s.Err()
		}),
		func() error {
			s := topics("--list", "--exclude-internal")
			if slices.Contains(s.lines(), "__consumer_offsets") {
				return s.wrong("an internal topic is listed")
			}
			return s.Err()
		},
		eventually(ctx, func() error {
			return topics("--describe", "--topic", topic).prints(head(2), partition(0), partition(1))
		}),
		func() error { return topics("--alter", "--topic", topic, "--partitions", "3").Err() },
		eventually(ctx, func() error {
			return topics("--describe", "--topic", topic).prints(head(3), partition(0), partition(1), partition(2))
		}),
		func() error {
			return topics("--alter", "--topic", topic, "--partitions", "1").fails("Error while executing topic command : ")
		},
		func() error {
			return topics("--describe", "--topic", t.Name("none")).fails("Topic '" + t.Name("none") + "' does not exist as expected")
		},
		func() error { return topics("--delete", "--topic", topic).Err() },
		eventually(ctx, func() error {
			s := topics("--list")
			if slices.Contains(s.lines(), topic) {
				return s.wrong("the deleted topic is listed")
			}
			return s.Err()
		}),
		func() error { return topics("--delete", "--topic", topic).fails("does not exist as expected") },
	)
}

// console: keys, headers and values in, the same out, in the order of columns that Kafka's has.
func (t *set) console(ctx context.Context) error {
	topic := t.Name("console")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	input := "a:1,b:2\tk1\tv one\nc:3\tk2\tv two\nd:4\tk3\t\n"
	if err := t.produce(ctx, topic, input, "--reader-property", "parse.key=true", "--reader-property", "parse.headers=true", "--sync"); err != nil {
		return err
	}
	s := t.tool(ctx, "", "kafka-console-consumer", "--topic", topic, "--from-beginning", "--max-messages", "3", "--timeout-ms", "20000",
		"--group", t.Name("console"), "--formatter-property", "print.key=true", "--formatter-property", "print.headers=true",
		"--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true", "--formatter-property", "print.timestamp=true")
	if err := s.prints(`CreateTime:\d{13}\tPartition:0\tOffset:0\ta:1,b:2\tk1\tv one`,
		`CreateTime:\d{13}\tPartition:0\tOffset:1\tc:3\tk2\tv two`, `CreateTime:\d{13}\tPartition:0\tOffset:2\td:4\tk3\t`); err != nil {
		return err
	}
	if !strings.Contains(s.err, "Processed a total of 3 messages") {
		return s.wrong("no count of messages on standard error")
	}
	if err := t.produce(ctx, topic, "four\nfive\n"); err != nil {
		return err
	}
	// The group goes on where it was; an offset of one partition begins there.
	s = t.tool(ctx, "", "kafka-console-consumer", "--topic", topic, "--group", t.Name("console"), "--max-messages", "2", "--timeout-ms", "20000")
	if err := s.prints("four", "five"); err != nil {
		return err
	}
	return t.tool(ctx, "", "kafka-console-consumer", "--topic", topic, "--partition", "0", "--offset", "1", "--max-messages", "1", "--timeout-ms", "20000",
		"--formatter-property", "print.key=true", "--formatter-property", "key.separator=|").prints(`k2\|v two`)
}

func (t *set) codecs(ctx context.Context) error {
	topic := t.Name("codecs")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	var want []string
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		line := strings.Repeat(codec+" ", 100)
		want = append(want, line)
		if err := t.produce(ctx, topic, line+"\n", "--compression-codec", codec); err != nil {
			return err
		}
	}
	return t.tool(ctx, "", "kafka-console-consumer", "--topic", topic, "--from-beginning", "--max-messages", "5", "--timeout-ms", "20000").prints(want...)
}

func (t *set) configs(ctx context.Context) error {
	topic := t.Name("configs")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	configs := func(arguments ...string) said {
		return t.tool(ctx, "", "kafka-configs", append(arguments, "--entity-type", "topics", "--entity-name", topic)...)
	}
	updated := "Completed updating config for topic " + regexp.QuoteMeta(topic) + `\.`
	return steps(
		func() error {
			return configs("--alter", "--add-config", "retention.ms=100000,cleanup.policy=[compact,delete]").prints(updated)
		},
		eventually(ctx, func() error {
			return configs("--describe").has("Dynamic configs for topic "+topic+" are:\n",
				"  retention.ms=100000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=100000",
				"  cleanup.policy=compact,delete sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, DEFAULT_CONFIG:log.cleanup.policy=delete}\n")
		}),
		func() error { return configs("--alter", "--delete-config", "retention.ms").prints(updated) },
		eventually(ctx, func() error {
			return configs("--describe", "--all").has("All configs for topic "+topic+" are:\n",
				"  retention.ms=604800000 sensitive=false synonyms={", "  max.message.bytes=1048588 sensitive=false synonyms={DEFAULT_CONFIG:message.max.bytes=1048588}")
		}),
		func() error { return configs("--alter", "--add-config", "no.such.thing=1").fails("no.such.thing") },
	)
}

func (t *set) getOffsets(ctx context.Context) error {
	topic := t.Name("get-offsets")
	if err := t.create(ctx, topic, 2); err != nil {
		return err
	}
	before := time.Now().Add(-time.Hour).UnixMilli()
	if err := t.produce(ctx, topic, "one\ntwo\nthree\n"); err != nil {
		return err
	}
	sum := func(want int, arguments ...string) error {
		s := t.tool(ctx, "", "kafka-get-offsets", append([]string{"--topic", topic}, arguments...)...)
		total := 0
		for _, line := range s.lines() {
			var partition, offset int
			if _, err := fmt.Sscanf(line, topic+":%d:%d", &partition, &offset); err != nil {
				return s.wrong("line %q: %v", line, err)
			}
			total += offset
		}
		if total != want || len(s.lines()) != 2 {
			return s.wrong("offsets add up to %d, want %d", total, want)
		}
		return s.Err()
	}
	return steps(
		func() error { return sum(3) },
		func() error { return sum(0, "--time", "-2") },
		func() error { return sum(3, "--time", "latest") },
		func() error {
			s := t.tool(ctx, "", "kafka-get-offsets", "--topic", topic, "--time", fmt.Sprint(before))
			if len(s.lines()) == 0 {
				return s.wrong("no offset for a time")
			}
			return s.Err()
		},
		func() error {
			s := t.tool(ctx, "", "kafka-get-offsets", "--topic-partitions", topic+":1")
			if lines := s.lines(); len(lines) != 1 || !strings.HasPrefix(lines[0], topic+":1:") {
				return s.wrong("want one line for partition 1")
			}
			return s.Err()
		},
	)
}

func (t *set) producerPerf(ctx context.Context) error {
	topic := t.Name("producer-perf")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	line := append(t.start("kafka-producer-perf-test"), "--topic", topic, "--num-records", "20000", "--record-size", "100", "--throughput", "-1",
		"--producer-props", "bootstrap.servers="+t.Bootstrap, "acks=all", "linger.ms=5")
	s := run(ctx, "", line, "kafka-producer-perf-test")
	lines := s.lines()
	total := `20000 records sent, [\d.]+ records/sec \([\d.]+ MB/sec\), [\d.]+ ms avg latency, [\d.]+ ms max latency, \d+ ms 50th, \d+ ms 95th, \d+ ms 99th, \d+ ms 99\.9th\.`
	if len(lines) == 0 || !regexp.MustCompile(total).MatchString(lines[len(lines)-1]) {
		return s.wrong("the last line does not match %q", total)
	}
	return t.tool(ctx, "", "kafka-get-offsets", "--topic", topic).prints(regexp.QuoteMeta(topic) + ":0:20000")
}

func (t *set) consumerPerf(ctx context.Context) error {
	topic := t.Name("consumer-perf")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	if err := t.produce(ctx, topic, strings.Repeat("a line of a little length\n", 20000)); err != nil {
		return err
	}
	s := t.tool(ctx, "", "kafka-consumer-perf-test", "--topic", topic, "--messages", "20000", "--timeout", "20000")
	lines := s.lines()
	header := "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
	if !slices.Contains(lines, header) {
		return s.wrong("no header")
	}
	figures := strings.Split(lines[len(lines)-1], ", ")
	if len(figures) != 10 || figures[4] != "20000" {
		return s.wrong("the last line does not say 20000 messages in ten columns")
	}
	return s.Err()
}
