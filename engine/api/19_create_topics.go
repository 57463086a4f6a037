package api

import (
	"crypto/rand"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/sdk"
)

// CreateTopics creates topics.
//
//	v4 broker defaults (KIP-464) · v5 flexible, settings in the answer (KIP-525) · v7 topic ids
//
// Differs from Kafka: nothing.
func createTopics(c *call, q *kmsg.CreateTopicsRequest, a *kmsg.CreateTopicsResponse) {
	s, ask := c.server, c.asker()
	denied := c.deniedTopics(q)
	var answers []cluster.NewTopic
	for _, name := range once(len(q.Topics), func(i int) string { return q.Topics[i].Topic }) {
		answers = append(answers, cluster.NewTopic{Name: name}) // the controller may refuse without a decision
	}
	s.Controller.Change(func(image *cluster.Image) (records []cluster.Record, _ error) {
		records, answers = cluster.CreateTopics(image, s.newTopics(q.Topics, q.ValidateOnly))
		return records, nil
	}, func(_ *cluster.Image, err error) {
		for i := range answers {
			a.Topics = append(a.Topics, ask.withSettings(s.createdTopic(&answers[i], err)))
		}
		for _, name := range denied {
			a.Topics = append(a.Topics, s.createdTopic(&cluster.NewTopic{Name: name, Refusal: createDenied}, nil))
		}
		c.reply(a)
	})
}

// createDenied is what Kafka says here in other words than elsewhere.
var createDenied = &cluster.Refusal{Code: kerr.TopicAuthorizationFailed, Message: "Authorization failed."}

// deniedTopics takes topics out of the request that whoever asks may not create.
func (c *call) deniedTopics(q *kmsg.CreateTopicsRequest) (denied []string) {
	if c.sees(sdk.OperationCreate, sdk.ResourceCluster, sdk.ClusterName) {
		return nil
	}
	q.Topics = slices.DeleteFunc(q.Topics, func(t kmsg.CreateTopicsRequestTopic) bool {
		if c.allowed(sdk.OperationCreate, sdk.ResourceTopic, t.Topic) {
			return false
		}
		if !slices.Contains(denied, t.Topic) {
			denied = append(denied, t.Topic)
		}
		return true
	})
	return denied
}

// withSettings takes the settings out of an answer for those who may not see them (KIP-525).
func (a *asker) withSettings(t kmsg.CreateTopicsResponseTopic) kmsg.CreateTopicsResponseTopic {
	if t.ErrorCode == 0 && !a.sees(sdk.OperationDescribeConfigs, sdk.ResourceTopic, t.Topic) {
		t.NumPartitions, t.ReplicationFactor, t.Configs = -1, -1, []kmsg.CreateTopicsResponseTopicConfig{}
		t.ConfigErrorCode = kerr.TopicAuthorizationFailed.Code
	}
	return t
}

func (s *Server) newTopics(topics []kmsg.CreateTopicsRequestTopic, validateOnly bool) cluster.NewTopics {
	values := s.Values()
	return cluster.NewTopics{
		Topics: topics, ValidateOnly: validateOnly,
		DefaultPartitions: int32(config.Partitions.Of(values)), DefaultReplication: int16(config.ReplicationFactor.Of(values)),
		CheckConfig: func(name string, value *string) error {
			err := config.CheckTopic(values, map[string]*string{name: value})
			if err == nil && s.CheckPlugins != nil {
				err = s.CheckPlugins(nil, &cluster.Whole{Kind: cluster.TopicConfig, Settings: map[string]string{name: *value}})
			}
			return err
		},
		Fit:   func(configs map[string]string) error { return config.FitTopic(values, configs) },
		Avoid: s.stopped,
		NewID: func() cluster.ID { return cluster.NewID(s.Random) },
	}
}

// stopped tells whether the disk of one of this broker's log directories was stopped: nothing could be
// written to what is placed there (any goroutine).
func (s *Server) stopped(directory cluster.ID) bool {
	return slices.ContainsFunc(s.Disks, func(d *shard.Disk) bool { return d.ID == directory && d.Failed() != nil })
}

// random draws 16 bytes.
func random() (id [16]byte) {
	rand.Read(id[:]) // never fails, by its contract
	return id
}

func (s *Server) createdTopic(t *cluster.NewTopic, err error) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic, out.NumPartitions, out.ReplicationFactor = t.Name, -1, -1
	out.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // none is not null
	switch {
	case t.Refusal != nil:
		out.ErrorCode, out.ErrorMessage = t.Refusal.Code.Code, told(t.Refusal.Message)
	case err != nil:
		out.ErrorCode, out.ErrorMessage = code(err), told(err.Error())
	default:
		out.TopicID, out.NumPartitions, out.ReplicationFactor = t.ID, t.Partitions, t.Replication
		for _, e := range config.DescribeTopic(s.Values().Topic(t.Configs), nil) {
			entry := kmsg.NewCreateTopicsResponseTopicConfig()
			entry.Name, entry.Value, entry.ReadOnly, entry.Source, entry.IsSensitive = e.Name, e.Value, e.ReadOnly, int8(e.Source), e.Sensitive
			out.Configs = append(out.Configs, entry)
		}
	}
	return out
}

// told is a message as the protocol has it: null when there is nothing to say.
func told(message string) *string {
	if message == "" {
		return nil
	}
	return &message
}

// createTopics creates topics that somebody needs without saying more than their names.
// Those that exist by then are as good as created.
func (s *Server) createTopics(names []string, f func(image *cluster.Image, refused map[string]*kerr.Error)) {
	refused := map[string]*kerr.Error{}
	s.Controller.Change(func(image *cluster.Image) ([]cluster.Record, error) {
		clear(refused)
		wanted := map[string]kmsg.CreateTopicsRequestTopic{}
		for _, name := range names {
			if image.Topic(name) == nil {
				wanted[name] = s.automatic(name)
			}
		}
		sorted := slices.Sorted(maps.Keys(wanted))
		topics := make([]kmsg.CreateTopicsRequestTopic, len(sorted))
		for i, name := range sorted {
			topics[i] = wanted[name]
		}
		records, answers := cluster.CreateTopics(image, s.newTopics(topics, false))
		for _, answer := range answers {
			if answer.Refusal != nil {
				refused[answer.Name] = answer.Refusal.Code
			}
		}
		return records, nil
	}, func(image *cluster.Image, err error) {
		if err != nil {
			image = s.Controller.Image()
			for _, name := range names {
				refused[name] = kerr.LeaderNotAvailable
			}
		}
		f(image, refused)
	})
}

// automatic is what a topic is created with when a client just uses it.
func (s *Server) automatic(name string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, -1, -1
	values := s.Values()
	partitions, bytes := 0, 0
	switch name {
	case OffsetsTopic:
		partitions, bytes = config.OffsetsPartitions.Of(values), config.OffsetsSegmentBytes.Of(values)
	case cluster.TransactionsTopic:
		partitions, bytes = config.TransactionPartitions.Of(values), config.TransactionSegmentBytes.Of(values)
	default:
		return t
	}
	t.NumPartitions = int32(partitions)
	segment := strconv.Itoa(bytes)
	for _, pair := range [][2]string{{"cleanup.policy", "compact"}, {"compression.type", "producer"}, {"segment.bytes", segment}} {
		entry := kmsg.NewCreateTopicsRequestTopicConfig()
		entry.Name, entry.Value = pair[0], kmsg.StringPtr(pair[1])
		t.Configs = append(t.Configs, entry)
	}
	return t
}
