package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
)

// DeleteTopics deletes topics by name or, from version 6 on, by id (KIP-516).
//
//	v4 flexible · v5 error messages · v6 topic ids
//
// Differs from Kafka: nothing.
func deleteTopics(c *call, q *kmsg.DeleteTopicsRequest, a *kmsg.DeleteTopicsResponse) {
	var refs []cluster.TopicRef
	for _, name := range q.TopicNames {
		refs = append(refs, cluster.TopicRef{Name: &name})
	}
	for _, t := range q.Topics {
		refs = append(refs, cluster.TopicRef{Name: t.Topic, ID: t.TopicID})
	}
	var answers []cluster.DeletedTopic
	enabled := config.DeleteTopics.Of(c.server.Values())
	c.server.Controller.Change(func(image *cluster.Image) (records []cluster.Record, _ error) {
		records, answers = cluster.DeleteTopics(image, refs)
		if !enabled {
			return nil, nil
		}
		return records, nil
	}, func(_ *cluster.Image, err error) {
		for _, answer := range answers {
			t := kmsg.NewDeleteTopicsResponseTopic()
			t.Topic, t.TopicID = answer.Name, answer.ID
			switch {
			case !enabled && c.version < 3:
				t.ErrorCode = kerr.InvalidRequest.Code
			case !enabled:
				t.ErrorCode, t.ErrorMessage = kerr.TopicDeletionDisabled.Code, told("Topic deletion is disabled.")
			case answer.Refusal != nil:
				t.ErrorCode, t.ErrorMessage = answer.Refusal.Code.Code, told(answer.Refusal.Message)
			case err != nil:
				t.ErrorCode, t.ErrorMessage = code(err), told(err.Error())
			}
			a.Topics = append(a.Topics, t)
		}
		c.reply(a)
	})
}
