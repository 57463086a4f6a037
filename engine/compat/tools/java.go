package tools

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// verifiable: what the verifying producer says was acked, the verifying consumer reads.
func (t *set) verifiable(ctx context.Context) error {
	topic := t.Name("verifiable")
	if err := t.create(ctx, topic, 3); err != nil {
		return err
	}
	s := t.tool(ctx, "", "kafka-verifiable-producer", "--topic", topic, "--max-messages", "1000", "--acks", "-1")
	if err := s.has(`"name":"tool_data","sent":1000,"acked":1000`); err != nil {
		return err
	}
	s = t.tool(ctx, "", "kafka-verifiable-consumer", "--topic", topic, "--group-id", t.Name("verifiable"), "--max-messages", "1000", "--reset-policy", "earliest")
	total := 0
	for _, found := range regexp.MustCompile(`"name":"records_consumed","count":(\d+)`).FindAllStringSubmatch(s.out, -1) {
		var n int
		if _, err := fmt.Sscan(found[1], &n); err != nil {
			return err
		}
		total += n
	}
	if total != 1000 {
		return s.wrong("consumed %d, want 1000", total)
	}
	return s.has(`"success":true`, `"name":"shutdown_complete"`)
}

func (t *set) deleteRecords(ctx context.Context) error {
	topic := t.Name("delete-records")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	if err := t.produce(ctx, topic, strings.Repeat("x\n", 100)); err != nil {
		return err
	}
	plan, err := t.file("delete.json", fmt.Sprintf(`{"partitions":[{"topic":%q,"partition":0,"offset":60}],"version":1}`, topic))
	if err != nil {
		return err
	}
	if err := t.tool(ctx, "", "kafka-delete-records", "--offset-json-file", plan).has("partition: " + topic + "-0\tlow_watermark: 60"); err != nil {
		return err
	}
	return t.tool(ctx, "", "kafka-get-offsets", "--topic", topic, "--time", "earliest").prints(regexp.QuoteMeta(topic) + ":0:60")
}

func (t *set) logDirs(ctx context.Context) error {
	topic := t.Name("log-dirs")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	if err := t.produce(ctx, topic, "x\n"); err != nil {
		return err
	}
	s := t.tool(ctx, "", "kafka-log-dirs", "--describe", "--topic-list", topic)
	if !regexp.MustCompile(`\{"partition":"` + regexp.QuoteMeta(topic) + `-0","size":[1-9]\d*,"offsetLag":0,"isFuture":false\}`).MatchString(s.out) {
		return s.wrong("the partition and its size are missing")
	}
	return s.Err()
}

// versions: the tool that compares every API's range with its own, and the cluster's id.
func (t *set) versions(ctx context.Context) error {
	s := t.tool(ctx, "", "kafka-broker-api-versions")
	for _, api := range []string{"Produce(0)", "Fetch(1)", "Metadata(3)", "JoinGroup(11)", "ApiVersions(18)", "InitProducerId(22)"} {
		if !regexp.MustCompile(regexp.QuoteMeta(api) + `: \d+( to \d+)? \[usable: \d+\]`).MatchString(s.out) {
			return s.wrong("%s is not usable", api)
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	line := append(t.start("kafka-cluster"), "cluster-id", "--bootstrap-server", t.Bootstrap)
	return run(ctx, "", line, "kafka-cluster cluster-id").prints(`Cluster ID: [A-Za-z0-9_-]{22}`)
}

func (t *set) endToEnd(ctx context.Context) error {
	topic := t.Name("e2e")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	return t.tool(ctx, "", "kafka-e2e-latency", "--topic", topic, "--num-records", "100", "--producer-acks", "all", "--record-size", "20").
		has("Avg latency: ", "Percentiles: 50th = ")
}
