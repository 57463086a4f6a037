package cluster

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var kafka = flag.String("kafka", "", "record testdata/kafka.golden from the broker at this address, an empty Apache Kafka whose node.id is 1")

// TestAsKafka sends a list of requests to the decisions and compares what clients are told
// with what Apache Kafka 4.3.1 told them (testdata/kafka.golden, recorded with -kafka).
func TestAsKafka(t *testing.T) {
	path := filepath.Join("testdata", "kafka.golden")
	if *kafka != "" {
		client, err := kgo.NewClient(kgo.SeedBrokers(*kafka), kgo.RetryTimeout(0))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		said := ask(func(q kmsg.Request) kmsg.Response {
			q.SetVersion(q.MaxVersion())
			answer, err := client.Broker(1).Request(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			return answer
		})
		if err := os.WriteFile(path, said, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{t: t, image: withTopics(t, 0), newID: drawn(rand.New(rand.NewPCG(8, 8)))}
	got := ask(w.answer)
	for n, line := range bytes.Split(got, []byte("\n")) {
		if lines := bytes.Split(want, []byte("\n")); n >= len(lines) || !bytes.Equal(line, lines[n]) {
			t.Fatalf("line %d:\nours    %s\nKafka's %s", n+1, line, lines[min(n, len(lines)-1)])
		}
	}
}

// witness answers requests by deciding them, on one image after the other.
type witness struct {
	t     *testing.T
	image *Image
	newID func() ID
}

func (w *witness) answer(q kmsg.Request) kmsg.Response {
	var records []Record
	answer := q.ResponseKind()
	rules := ConfigRules{Node: 1, Check: checkSetting, List: func(_ ConfigKind, name string) (bool, string) {
		return name == "cleanup.policy", "delete"
	}}
	switch q := q.(type) {
	case *kmsg.CreateTopicsRequest:
		made, told := CreateTopics(w.image, NewTopics{
			Topics: q.Topics, ValidateOnly: q.ValidateOnly, NewID: w.newID,
			CheckConfig: func(name string, value *string) error { return checkSetting(TopicConfig, name, value) },
		})
		for _, one := range told {
			code, message := one.Refusal.Wire()
			a := kmsg.CreateTopicsResponseTopic{Topic: one.Name, ErrorCode: code, ErrorMessage: message, NumPartitions: -1, ReplicationFactor: -1}
			if code == 0 {
				a.NumPartitions, a.ReplicationFactor = one.Partitions, one.Replication
			}
			answer.(*kmsg.CreateTopicsResponse).Topics = append(answer.(*kmsg.CreateTopicsResponse).Topics, a)
		}
		records = made
	case *kmsg.CreatePartitionsRequest:
		made, told := CreatePartitions(w.image, q.Topics, nil)
		for _, one := range told {
			code, message := one.Refusal.Wire()
			answer.(*kmsg.CreatePartitionsResponse).Topics = append(answer.(*kmsg.CreatePartitionsResponse).Topics,
				kmsg.CreatePartitionsResponseTopic{Topic: one.Name, ErrorCode: code, ErrorMessage: message})
		}
		if records = made; q.ValidateOnly {
			records = nil
		}
	case *kmsg.DeleteTopicsRequest:
		var refs []TopicRef
		for _, topic := range q.Topics {
			refs = append(refs, TopicRef{Name: topic.Topic, ID: topic.TopicID})
		}
		made, told := DeleteTopics(w.image, refs)
		for _, one := range told {
			code, message := one.Refusal.Wire()
			answer.(*kmsg.DeleteTopicsResponse).Topics = append(answer.(*kmsg.DeleteTopicsResponse).Topics,
				kmsg.DeleteTopicsResponseTopic{Topic: one.Name, TopicID: one.ID, ErrorCode: code, ErrorMessage: message})
		}
		records = made
	case *kmsg.AlterConfigsRequest:
		made, told := AlterConfigs(w.image, q.Resources, rules)
		for _, one := range told {
			code, message := one.Refusal.Wire()
			answer.(*kmsg.AlterConfigsResponse).Resources = append(answer.(*kmsg.AlterConfigsResponse).Resources,
				kmsg.AlterConfigsResponseResource{ResourceType: one.Type, ResourceName: one.Name, ErrorCode: code, ErrorMessage: message})
		}
		records = made
	case *kmsg.IncrementalAlterConfigsRequest:
		made, told := IncrementalAlterConfigs(w.image, q.Resources, rules)
		for _, one := range told {
			code, message := one.Refusal.Wire()
			answer.(*kmsg.IncrementalAlterConfigsResponse).Resources = append(answer.(*kmsg.IncrementalAlterConfigsResponse).Resources,
				kmsg.IncrementalAlterConfigsResponseResource{ResourceType: one.Type, ResourceName: one.Name, ErrorCode: code, ErrorMessage: message})
		}
		records = made
	}
	w.image = apply(w.t, w.image, records)
	if err := w.image.Check(); err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// ask sends every request and writes what came back, one item a line, in order of the
// items: Kafka answers in the order of its hash tables.
func ask(send func(kmsg.Request) kmsg.Response) []byte {
	var out bytes.Buffer
	for n, q := range questions() {
		fmt.Fprintf(&out, "%d %s\n", n+1, kmsg.NameForKey(q.Key()))
		var told []string
		tell := func(name string, code int16, message *string, more ...any) {
			text := "null"
			if message != nil {
				text = fmt.Sprintf("%q", *message)
			}
			told = append(told, strings.TrimSpace(fmt.Sprintln(append([]any{"  " + name, code, text}, more...)...)))
		}
		switch answer := send(q).(type) {
		case *kmsg.CreateTopicsResponse:
			for _, a := range answer.Topics {
				tell(a.Topic, a.ErrorCode, a.ErrorMessage, a.NumPartitions, a.ReplicationFactor)
			}
		case *kmsg.CreatePartitionsResponse:
			for _, a := range answer.Topics {
				tell(a.Topic, a.ErrorCode, a.ErrorMessage)
			}
		case *kmsg.DeleteTopicsResponse:
			for _, a := range answer.Topics {
				name := "null"
				if a.Topic != nil {
					name = *a.Topic
				}
				tell(name, a.ErrorCode, a.ErrorMessage)
			}
		case *kmsg.AlterConfigsResponse:
			for _, a := range answer.Resources {
				tell(fmt.Sprintf("%d/%s", a.ResourceType, a.ResourceName), a.ErrorCode, a.ErrorMessage)
			}
		case *kmsg.IncrementalAlterConfigsResponse:
			for _, a := range answer.Resources {
				tell(fmt.Sprintf("%d/%s", a.ResourceType, a.ResourceName), a.ErrorCode, a.ErrorMessage)
			}
		}
		slices.Sort(told)
		fmt.Fprintln(&out, strings.Join(told, "\n"))
	}
	return out.Bytes()
}

func topicAsked(name string, partitions int32, replication int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.CreateTopicsRequestTopic{Topic: name, NumPartitions: partitions, ReplicationFactor: replication}
	for n := 0; n < len(configs); n += 2 {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[n], Value: &configs[n+1]})
	}
	return t
}

func placed(name string, partitions int32, replication int16, at ...kmsg.CreateTopicsRequestTopicReplicaAssignment) kmsg.CreateTopicsRequestTopic {
	return kmsg.CreateTopicsRequestTopic{Topic: name, NumPartitions: partitions, ReplicationFactor: replication, ReplicaAssignment: at}
}

func on(partition int32, brokers ...int32) kmsg.CreateTopicsRequestTopicReplicaAssignment {
	return kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: partition, Replicas: brokers}
}

func creation(topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	return &kmsg.CreateTopicsRequest{Topics: topics, TimeoutMillis: 10_000}
}

func growth(name string, count int32, assigned bool, brokers ...int32) kmsg.CreatePartitionsRequestTopic {
	t := kmsg.CreatePartitionsRequestTopic{Topic: name, Count: count}
	if assigned {
		t.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
	}
	for _, broker := range brokers {
		t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: []int32{broker}})
	}
	return t
}

func setting(of kmsg.ConfigResourceType, name string, triples ...string) kmsg.IncrementalAlterConfigsRequestResource {
	r := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: of, ResourceName: name}
	for n := 0; n < len(triples); n += 3 {
		op, _ := kmsg.ParseIncrementalAlterConfigOp(triples[n])
		value := &triples[n+2]
		if *value == "null" {
			value = nil
		}
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Op: op, Name: triples[n+1], Value: value})
	}
	return r
}

// questions are asked in this order of a cluster of one broker, node 1, without topics.
func questions() []kmsg.Request {
	name := func(s string) kmsg.DeleteTopicsRequestTopic { return kmsg.DeleteTopicsRequestTopic{Topic: &s} }
	const topic, broker = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker
	one := "1000"
	return []kmsg.Request{
		creation(topicAsked("plain", 3, 1), topicAsked("default", -1, -1), topicAsked("a.b", 1, 1)),
		creation(topicAsked("", 1, 1), topicAsked(".", 1, 1), topicAsked("..", 1, 1), topicAsked("a b", 1, 1), topicAsked("ä", 1, 1)),
		creation(topicAsked(strings.Repeat("n", 249), 1, 1), topicAsked(strings.Repeat("n", 250), 1, 1)),
		creation(topicAsked("plain", 0, 9), topicAsked("a_b", 0, 9), topicAsked("a.b", 1, 1), topicAsked("a/_b", 1, 1)),
		creation(topicAsked("c.d_e", 1, 1), topicAsked("c_d.e", 1, 1)),
		creation(topicAsked("twice", 1, 1), topicAsked("once", 1, 1), topicAsked("twice", 2, 1)),
		creation(topicAsked("__cluster_metadata", 1, 1)),
		creation(topicAsked("p0", 0, 1), topicAsked("p-2", -2, 1), topicAsked("r0", 1, 0), topicAsked("r-2", 1, -2), topicAsked("r2", 1, 2), topicAsked("both", 0, 0)),
		creation(topicAsked("huge", 10_001, 1), topicAsked("beside", 1, 1)),
		creation(topicAsked("s1", 1, 1, "no.such", "1"), topicAsked("s2", 1, 1, "retention.ms", "abc"), topicAsked("s3", 0, 1, "retention.ms", "abc"), topicAsked("s4", 1, 1, "retention.ms", "5")),
		creation(placed("m1", 1, -1, on(0, 1)), placed("m2", -1, 1, on(0, 1)), placed("m3", -1, -1, on(0, 2)), placed("m4", -1, -1, on(0, 1, 1)), placed("m5", -1, -1, on(0))),
		creation(placed("m6", -1, -1, on(1, 1)), placed("m7", -1, -1, on(0, 1), on(2, 1)), placed("m8", -1, -1, on(1, 1), on(0, 1)), placed("m9", -1, -1, on(0, 1), on(1))),
		&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{topicAsked("dry", 2, 1)}, ValidateOnly: true, TimeoutMillis: 10_000},
		creation(topicAsked("dry", 2, 1)),
		&kmsg.CreatePartitionsRequest{TimeoutMillis: 10_000, Topics: []kmsg.CreatePartitionsRequestTopic{
			growth("plain", 3, false), growth("default", 0, false), growth("nobody", 2, false), growth("m8", 4, true, 1), growth("dry", 4, true, 1, 7), growth("s4", 2, true, 1),
		}},
		&kmsg.CreatePartitionsRequest{TimeoutMillis: 10_000, Topics: []kmsg.CreatePartitionsRequestTopic{growth("plain", 4, false), growth("plain", 5, false), growth("a.b", -1, false), growth("once", 2, true)}},
		&kmsg.CreatePartitionsRequest{TimeoutMillis: 10_000, ValidateOnly: true, Topics: []kmsg.CreatePartitionsRequestTopic{growth("plain", 6, false)}},
		&kmsg.CreatePartitionsRequest{TimeoutMillis: 10_000, Topics: []kmsg.CreatePartitionsRequestTopic{growth("plain", 4, false)}},
		&kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{
			setting(topic, "plain", "set", "retention.ms", "10", "append", "cleanup.policy", "compact"),
			setting(topic, "nobody", "set", "retention.ms", "10"), setting(topic, "", "set", "retention.ms", "10"), setting(topic, "a b", "set", "retention.ms", "10"),
		}},
		&kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{
			setting(topic, "plain", "set", "retention.ms", "x"), setting(topic, "default", "append", "retention.ms", "1"), setting(topic, "a.b", "set", "retention.ms", "null"),
			setting(topic, "once", "set", "no.such", "1"), setting(topic, "nobody", "set", "no.such", "1"), setting(topic, "s4", "delete", "no.such", "null"),
		}},
		&kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{
			setting(topic, "plain", "set", "retention.ms", "1", "set", "retention.ms", "2"), setting(topic, "once", "set", "retention.ms", "1"), setting(topic, "once", "set", "retention.ms", "2"),
		}},
		&kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{
			setting(broker, "1", "set", "log.retention.ms", "1000000"), setting(broker, "", "set", "log.retention.ms", "1000000"), setting(broker, "2", "set", "log.retention.ms", "1"), setting(broker, "x", "set", "log.retention.ms", "1"), setting(9, "x", "set", "a", "b"),
		}},
		&kmsg.AlterConfigsRequest{Resources: []kmsg.AlterConfigsRequestResource{
			{ResourceType: topic, ResourceName: "plain", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: &one}}},
			{ResourceType: topic, ResourceName: "nobody", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: &one}}},
			{ResourceType: topic, ResourceName: "once", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "no.such", Value: &one}}},
			{ResourceType: topic, ResourceName: "s4", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms"}}},
		}},
		&kmsg.DeleteTopicsRequest{TimeoutMillis: 10_000, Topics: []kmsg.DeleteTopicsRequestTopic{name("plain"), name("nobody"), {TopicID: [16]byte{1}}, {}}},
		&kmsg.DeleteTopicsRequest{TimeoutMillis: 10_000, Topics: []kmsg.DeleteTopicsRequestTopic{name("once"), name("once"), name("a.b")}},
		creation(topicAsked("a_b", 1, 1), topicAsked("plain", 1, 1)),
	}
}
