package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestConversations runs the scripts in testdata/conversations. A request is written as it
// would be said, one item a line; the answer shows what the client is told and, behind an
// arrow, the records.
func TestConversations(t *testing.T) {
	datadriven.Walk(t, "testdata/conversations", func(t *testing.T, path string) {
		s := &script{image: Empty()}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			answer := s.run(t, d)
			if err := s.image.Check(); err != nil {
				t.Fatalf("%s: after %s: %v", d.Pos, d.Cmd, err)
			}
			return answer
		})
	})
}

// script is one conversation: the image so far, and a counter in place of chance.
type script struct {
	image *Image
	drawn uint64
	out   strings.Builder
}

func (s *script) newID() ID {
	return NewID(func() (random [16]byte) {
		s.drawn++
		binary.BigEndian.PutUint64(random[8:], s.drawn)
		return random
	})
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	var records []Record
	switch d.Cmd {
	case "found":
		records = Found(d.CmdArgs[0].Key)
	case "broker":
		records = s.broker(t, d)
	case "create":
		records = s.create(t, d)
	case "delete":
		records = s.delete(d)
	case "grow":
		records = s.grow(t, d)
	case "alter", "incremental":
		records = s.alter(t, d)
	case "producer-ids":
		records = s.producerIDs(t, d)
	case "records":
		parsed, err := Parse([]byte(strings.TrimSuffix(d.Input, "\n")))
		if err != nil {
			return err.Error() + "\n"
		}
		records = parsed
	case "show":
		return string(Append(nil, s.image.Records())) + "\n"
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	before := s.image
	after, err := before.Apply(records)
	if err != nil {
		return s.out.String() + err.Error() + "\n"
	}
	for _, record := range records {
		fmt.Fprintf(&s.out, "→ %s\n", Append(nil, []Record{record}))
	}
	s.image = after
	if d.HasArg("since") {
		s.since(before)
	}
	if s.out.Len() == 0 {
		return "nothing\n"
	}
	return s.out.String()
}

func (s *script) answer(name string, refused *Refusal) {
	if refused == nil {
		fmt.Fprintf(&s.out, "%s: done\n", name)
		return
	}
	code, message := refused.Wire()
	if message == nil {
		fmt.Fprintf(&s.out, "%s: %d %s, null\n", name, code, refused.Code.Message)
		return
	}
	fmt.Fprintf(&s.out, "%s: %d %s, %q\n", name, code, refused.Code.Message, *message)
}

func (s *script) since(before *Image) {
	d := s.image.Since(before)
	names := func(word string, topics []*Topic) {
		for _, topic := range topics {
			fmt.Fprintf(&s.out, "%s %s\n", word, topic.Name)
		}
	}
	names("created", d.Created)
	names("deleted", d.Deleted)
	for _, c := range d.Changed {
		fmt.Fprintf(&s.out, "changed %s: %d to %d partitions, leader epoch %d to %d, configs %v to %v\n", c.After.Name,
			len(c.Before.Partitions), len(c.After.Partitions), c.Before.Partitions[0].LeaderEpoch, c.After.Partitions[0].LeaderEpoch,
			c.Before.Configs, c.After.Configs)
	}
	fmt.Fprintf(&s.out, "brokers %v, settings of brokers %q\n", d.Brokers, d.BrokerConfigs)
}

// words reads "key=value" words of a line behind its first word.
func words(line string) (first string, options map[string]string) {
	fields := strings.Fields(line)
	options = make(map[string]string)
	for _, field := range fields[1:] {
		key, value, _ := strings.Cut(field, "=")
		options[key] = value
	}
	return strings.Trim(fields[0], `"`), options
}

func lines(input string) []string {
	return slices.DeleteFunc(strings.Split(input, "\n"), func(line string) bool { return line == "" })
}

func number(t *testing.T, text string, otherwise int) int {
	t.Helper()
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// replicas reads "1:2,2:1": partitions apart by commas, brokers by colons.
func replicas(t *testing.T, text string) [][]int32 {
	t.Helper()
	var all [][]int32
	for partition := range strings.SplitSeq(text, ",") {
		var brokers []int32
		for broker := range strings.SplitSeq(partition, ":") {
			if broker != "" {
				brokers = append(brokers, int32(number(t, broker, 0)))
			}
		}
		all = append(all, brokers)
	}
	return all
}

func (s *script) broker(t *testing.T, d *datadriven.TestData) []Record {
	_, options := words(d.Cmd + " " + strings.TrimSpace(d.Input))
	broker := Broker{ID: int32(number(t, options["id"], 0)), Host: "h", Port: 9092, Rack: options["rack"]}
	broker.Incarnation[0] = byte(number(t, options["life"], 1))
	for text := range strings.FieldsFuncSeq(options["dirs"], func(c rune) bool { return c == ',' }) {
		var id ID
		id[0] = byte(number(t, text, 0))
		broker.Directories = append(broker.Directories, id)
	}
	records, epoch, refused := RegisterBroker(s.image, broker)
	s.answer(fmt.Sprintf("broker %d, epoch %d", broker.ID, epoch), refused)
	return records
}

func (s *script) create(t *testing.T, d *datadriven.TestData) []Record {
	n := NewTopics{
		NewID: s.newID, DefaultPartitions: 2, ValidateOnly: d.HasArg("validate-only"),
		CheckConfig: func(name string, value *string) error { return checkSetting(TopicConfig, name, value) },
	}
	for _, line := range lines(d.Input) {
		name, options := words(line)
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic = name
		topic.NumPartitions = int32(number(t, options["partitions"], -1))
		topic.ReplicationFactor = int16(number(t, options["replication"], -1))
		for key, value := range options {
			switch key {
			case "partitions", "replication":
			case "assign":
				for index, brokers := range replicas(t, value) {
					topic.ReplicaAssignment = append(topic.ReplicaAssignment,
						kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(index), Replicas: brokers})
				}
			case "at":
			default:
				config := kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: &value}
				if value == "null" {
					config.Value = nil
				}
				topic.Configs = append(topic.Configs, config)
			}
		}
		if at := options["at"]; at != "" {
			topic.ReplicaAssignment[len(topic.ReplicaAssignment)-1].Partition = int32(number(t, at, 0))
		}
		n.Topics = append(n.Topics, topic)
	}
	records, answers := CreateTopics(s.image, n)
	for _, answer := range answers {
		s.answer(fmt.Sprintf("%.40q", answer.Name), answer.Refusal)
		if answer.Refusal == nil {
			fmt.Fprintf(&s.out, "   %d partitions, %d replicas\n", answer.Partitions, answer.Replication)
		}
	}
	return records
}

// checkSetting knows two settings of topics and two of brokers.
func checkSetting(kind ConfigKind, name string, value *string) error {
	switch string(kind) + " " + name {
	case "topic retention.ms", "broker log.retention.ms":
		if _, err := strconv.Atoi(*value); err != nil {
			return fmt.Errorf("Invalid value %s for configuration %s: Not a number of type LONG", *value, name)
		}
		return nil
	case "topic cleanup.policy", "broker log.cleanup.policy":
		return nil
	}
	if kind == BrokerConfig {
		return fmt.Errorf("Cannot update these configs dynamically: Set(%s)", name)
	}
	return errors.New("Unknown topic config name: " + name)
}

func (s *script) delete(d *datadriven.TestData) []Record {
	var refs []TopicRef
	for _, line := range lines(d.Input) {
		first, options := words(line)
		ref := TopicRef{Name: &first}
		if first == "-" {
			ref.Name = nil
		}
		if of := options["id-of"]; of != "" {
			ref.ID = s.image.Topic(of).ID
		}
		if options["id"] != "" {
			ref.ID = ID{1}
		}
		refs = append(refs, ref)
	}
	records, answers := DeleteTopics(s.image, refs)
	for _, answer := range answers {
		name := "null"
		if answer.Name != nil {
			name = *answer.Name
		}
		s.answer(fmt.Sprintf("%s, %s", name, answer.ID), answer.Refusal)
	}
	return records
}

func (s *script) grow(t *testing.T, d *datadriven.TestData) []Record {
	var topics []kmsg.CreatePartitionsRequestTopic
	for _, line := range lines(d.Input) {
		name, options := words(line)
		topic := kmsg.CreatePartitionsRequestTopic{Topic: name, Count: int32(number(t, options["to"], 0))}
		if assign, ok := options["assign"]; ok {
			topic.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
			for _, brokers := range replicas(t, assign) {
				topic.Assignment = append(topic.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: brokers})
			}
		}
		topics = append(topics, topic)
	}
	records, answers := CreatePartitions(s.image, topics, nil)
	for _, answer := range answers {
		s.answer(answer.Name, answer.Refusal)
	}
	return records
}

func (s *script) alter(t *testing.T, d *datadriven.TestData) []Record {
	rules := ConfigRules{Node: 1, Check: checkSetting, List: func(kind ConfigKind, name string) (bool, string) {
		return name == "cleanup.policy", "delete"
	}}
	var whole []kmsg.AlterConfigsRequestResource
	var single []kmsg.IncrementalAlterConfigsRequestResource
	for _, line := range lines(d.Input) {
		fields := strings.Fields(line)
		of, name, _ := strings.Cut(fields[0], "/")
		kind := kmsg.ConfigResourceType(number(t, of, 0))
		w := kmsg.AlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
		s := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
		for _, field := range fields[1:] {
			op, assignment, _ := strings.Cut(field, ":")
			key, text, has := strings.Cut(assignment, "=")
			value := &text
			if !has {
				value = nil
			}
			code, err := kmsg.ParseIncrementalAlterConfigOp(op)
			if err != nil {
				code = 9
			}
			w.Configs = append(w.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: key, Value: value})
			s.Configs = append(s.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: key, Op: code, Value: value})
		}
		whole, single = append(whole, w), append(single, s)
	}
	var records []Record
	var answers []AlteredConfig
	if d.Cmd == "alter" {
		records, answers = AlterConfigs(s.image, whole, rules)
	} else {
		records, answers = IncrementalAlterConfigs(s.image, single, rules)
	}
	for _, answer := range answers {
		s.answer(fmt.Sprintf("%d/%s", answer.Type, answer.Name), answer.Refusal)
	}
	return records
}

func (s *script) producerIDs(t *testing.T, d *datadriven.TestData) []Record {
	_, options := words(d.Cmd + " " + strings.TrimSpace(d.Input))
	records, first, refused := AllocateProducerIDs(s.image, int32(number(t, options["broker"], 0)), int64(number(t, options["epoch"], 0)))
	s.answer(fmt.Sprintf("from %d on", first), refused)
	return records
}
