package answers

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topics is how topics are made, looked at and deleted.
var topics = Set{Name: "topics", Cases: []Case{
	{Name: "metadata of no topic, of all, and of one that is not there", Ask: func(t *Talk) {
		q := kmsg.NewPtrMetadataRequest()
		q.Topics = []kmsg.MetadataRequestTopic{}
		t.AskAt(q, 0, 1, 13)
		q.Topics = nil
		t.AskAt(q, 0, 1, 13)
		q.AllowAutoTopicCreation = false
		q.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("absent")}}
		t.AskAt(q, 4, 9, 13)
	}},
	{Name: "create topics with names that are not right", Ask: func(t *Talk) {
		q := kmsg.NewPtrCreateTopicsRequest()
		for _, name := range []string{"", ".", "..", "a b", "a/b", "ok", "ünlaut"} {
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
			q.Topics = append(q.Topics, topic)
		}
		q.ValidateOnly = true
		t.AskAt(q, 2, 5, 7)
	}},
}}
